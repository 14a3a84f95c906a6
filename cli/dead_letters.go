package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/store"
)

func addDeadLetters(app *fisk.Application, env *env) {
	cmd := app.Command("dead-letters", "Messages that could not be stored: see, mend and retry them")
	cmd.HelpLong(`A message that Postgres cannot hold as a row is set aside with its reason, and stays until somebody deals with it.
Nothing is ever deleted: what is dealt with is marked so.

Examples:

	app dead-letters list
	app dead-letters list --reason 23503 --since 1h
	app dead-letters show ORDERS/17
	app dead-letters retry --all
	app dead-letters edit ORDERS/17 --body mended.json
	app dead-letters discard ORDERS/17 ORDERS/18 --yes
	app dead-letters export > letters.ndjson
	app dead-letters accept ORDERS`)
	addDeadLettersList(cmd, env)
	addDeadLettersShow(cmd, env)
	addDeadLettersRetry(cmd, env)
	addDeadLettersEdit(cmd, env)
	addDeadLettersDiscard(cmd, env)
	addDeadLettersExport(cmd, env)
	addDeadLettersAccept(cmd, env)
}

// letterFilter are the flags that choose dead letters.
type letterFilter struct {
	stream, reason *string
	since          *time.Duration
	sinceSet       bool
}

func (f *letterFilter) flags(cmd *fisk.CmdClause) {
	f.stream = cmd.Flag("stream", "Only of this stream").PlaceHolder("STREAM").String()
	f.reason = cmd.Flag("reason", "Only with this in the reason, or this SQLSTATE").PlaceHolder("TEXT").String()
	f.since = cmd.Flag("since", "Only of the last so long, such as 1h").PlaceHolder("1h").IsSetByUser(&f.sinceSet).Duration()
}

func (f *letterFilter) filter() store.DeadLetterFilter {
	filter := store.DeadLetterFilter{Stream: *f.stream, Reason: *f.reason}
	if f.sinceSet {
		filter.Since = time.Now().Add(-*f.since)
	}
	return filter
}

// letterName is STREAM/SEQ.
type letterName struct {
	stream string
	seq    uint64
}

func parseLetter(text string) (letterName, error) {
	stream, number, found := strings.Cut(text, "/")
	seq, err := strconv.ParseUint(number, 10, 63)
	if !found || err != nil || stream == "" || seq == 0 {
		return letterName{}, misuse(fmt.Errorf("%q is no dead letter: write STREAM/SEQ, as app dead-letters list does", text), "")
	}
	return letterName{stream, seq}, nil
}

// letters reads the dead letters that a filter chooses, or, if there are names,
// those.
func letters(ctx context.Context, db *store.Store, f store.DeadLetterFilter, names []string) ([]store.DeadLetter, error) {
	var found []store.DeadLetter
	take := func(l *store.DeadLetter) error { found = append(found, *l); return nil }
	if len(names) == 0 {
		return found, db.DeadLetters(ctx, f, take)
	}
	for _, text := range names {
		name, err := parseLetter(text)
		if err != nil {
			return nil, err
		}
		before := len(found)
		if err := db.DeadLetters(ctx, store.DeadLetterFilter{Stream: name.stream, Seqs: []uint64{name.seq}, Resolved: f.Resolved}, take); err != nil {
			return nil, err
		}
		if len(found) == before {
			return nil, misuse(fmt.Errorf("no dead letter waits at %s", text), "app dead-letters list shows those that do")
		}
	}
	return found, nil
}

// withLetters does something with the chosen dead letters.
func (e *env) withLetters(ctx context.Context, config string, f store.DeadLetterFilter, names []string, do func(*cluster.Config, *store.Store, []store.DeadLetter) error) error {
	cfg, err := loadCluster(config)
	if err != nil {
		return err
	}
	db, err := store.Open(cfg, "dead-letters")
	if err != nil {
		return err
	}
	defer db.Close()
	found, err := letters(ctx, db, f, names)
	if err != nil {
		return asMisuse(err)
	}
	return do(cfg, db, found)
}

// shownLetter is a dead letter as JSON.
type shownLetter struct {
	Stream     string              `json:"stream"`
	Seq        uint64              `json:"seq"`
	StreamID   int64               `json:"stream_id"`
	Subject    string              `json:"subject"`
	ID         string              `json:"msg_id,omitempty"`
	Headers    map[string][]string `json:"headers,omitempty"`
	Body       *string             `json:"body,omitempty"`       // if it is text
	BodyBytes  []byte              `json:"body_bytes,omitempty"` // base64, if it is not
	Reason     string              `json:"reason"`
	SQLState   string              `json:"sqlstate,omitempty"`
	FailedAt   time.Time           `json:"failed_at"`
	ResolvedAt *time.Time          `json:"resolved_at,omitempty"`
	Resolution string              `json:"resolution,omitempty"`
}

func shown(l *store.DeadLetter) shownLetter {
	s := shownLetter{
		Stream: l.Stream, Seq: l.Message.Seq, StreamID: l.StreamID, Subject: l.Message.Subject, ID: l.Message.ID(), Headers: l.Message.Header,
		Reason: l.Reason, SQLState: l.SQLState, FailedAt: l.FailedAt, Resolution: l.Resolution,
	}
	if utf8.Valid(l.Message.Data) {
		text := string(l.Message.Data)
		s.Body = &text
	} else {
		s.BodyBytes = l.Message.Data
	}
	if !l.ResolvedAt.IsZero() {
		s.ResolvedAt = &l.ResolvedAt
	}
	return s
}

func addDeadLettersList(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("list", "List those that wait")
	var f letterFilter
	f.flags(cmd)
	all := cmd.Flag("resolved", "Those that are dealt with, too").UnNegatableBool()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		filter := f.filter()
		filter.Resolved = *all
		return env.withLetters(ctx, *config, filter, nil, func(_ *cluster.Config, _ *store.Store, found []store.DeadLetter) error {
			if *asJSON {
				list := make([]shownLetter, len(found))
				for i := range found {
					list[i] = shown(&found[i])
				}
				return env.printJSON(list)
			}
			if len(found) == 0 {
				_, err := fmt.Fprintln(env.stdout, "no dead letter waits")
				return err
			}
			t := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "LETTER\tFAILED\tSUBJECT\tREASON")
			for _, l := range found {
				reason := printable(l.Reason)
				if l.Resolution != "" {
					reason = l.Resolution + ": " + reason
				}
				fmt.Fprintf(t, "%s/%d\t%s\t%s\t%s\n", l.Stream, l.Message.Seq, l.FailedAt.Local().Format(time.DateTime), printable(l.Message.Subject), reason)
			}
			return t.Flush()
		})
	})
}

func addDeadLettersShow(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("show", "Show one whole: body, headers, reason")
	name := cmd.Arg("letter", "STREAM/SEQ").Required().String()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		return env.withLetters(ctx, *config, store.DeadLetterFilter{Resolved: true}, []string{*name}, func(_ *cluster.Config, _ *store.Store, found []store.DeadLetter) error {
			l := &found[len(found)-1] // of the latest incarnation
			if *asJSON {
				return env.printJSON(shown(l))
			}
			fmt.Fprintf(env.stdout, "reason     %s\n", printable(l.Reason))
			fmt.Fprintf(env.stdout, "subject    %s\nfailed     %s\n", printable(l.Message.Subject), l.FailedAt.Local().Format(time.DateTime))
			if l.Resolution != "" {
				fmt.Fprintf(env.stdout, "resolved   %s, %s\n", l.Resolution, l.ResolvedAt.Local().Format(time.DateTime))
			} else {
				fmt.Fprintf(env.stdout, "to do      mend the cause and retry; or edit it; or discard it: app dead-letters --help\n")
			}
			for k, vs := range l.Message.Header {
				for _, v := range vs {
					fmt.Fprintf(env.stdout, "header     %s: %s\n", printable(k), printable(v))
				}
			}
			_, err := fmt.Fprintf(env.stdout, "\n%s\n", l.Message.Data)
			return err
		})
	})
}

func addDeadLettersDiscard(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("discard", "Give some up: they stay, marked as discarded")
	names := cmd.Arg("letters", "STREAM/SEQ ...").Required().Strings()
	yes := cmd.Flag("yes", "Do it").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		if !*yes {
			return misuse(errors.New("this gives messages up: say --yes if it is meant"), "")
		}
		return env.withLetters(ctx, *config, store.DeadLetterFilter{}, *names, func(_ *cluster.Config, db *store.Store, found []store.DeadLetter) error {
			for i := range found {
				l := &found[i]
				if err := db.Resolve(ctx, l.StreamID, l.Message.Seq, "discarded", nil); err != nil {
					return fmt.Errorf("%s/%d: %w", l.Stream, l.Message.Seq, err)
				}
				fmt.Fprintf(env.stdout, "%s/%d discarded\n", l.Stream, l.Message.Seq)
			}
			return nil
		})
	})
}

func addDeadLettersExport(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("export", "Print those that wait as NDJSON, whole")
	var f letterFilter
	f.flags(cmd)
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		return env.withLetters(ctx, *config, f.filter(), nil, func(_ *cluster.Config, _ *store.Store, found []store.DeadLetter) error {
			enc := json.NewEncoder(env.stdout)
			enc.SetEscapeHTML(false)
			for i := range found {
				if err := enc.Encode(shown(&found[i])); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func addDeadLettersEdit(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("edit", "Retry one with another body")
	name := cmd.Arg("letter", "STREAM/SEQ").Required().String()
	file := cmd.Flag("body", "The file with the body that it should have had").Required().PlaceHolder("FILE").String()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		body, err := os.ReadFile(*file)
		if err != nil {
			return misuse(err, "")
		}
		if body == nil {
			body = []byte{}
		}
		return env.withLetters(ctx, *config, store.DeadLetterFilter{}, []string{*name}, func(cfg *cluster.Config, db *store.Store, found []store.DeadLetter) error {
			return env.retry(ctx, cfg, db, found, body)
		})
	})
}

// printable is what a terminal may be given of somebody's text: a message must
// not move the cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
