package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/choria-io/fisk"

	"landfall/message"
)

// listedLetters is how many a list shows unless told otherwise.
const listedLetters = 100

func addDeadLettersList(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("list", "List those that wait, the oldest first")
	var f letterFilter
	f.flags(cmd)
	limit := cmd.Flag("limit", "How many at most; 0: all").Default(fmt.Sprint(listedLetters)).Int()
	all := cmd.Flag("resolved", "Those that are dealt with, too").UnNegatableBool()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		filter := f.filter()
		filter.Resolved, filter.Limit = *all, max(0, *limit)
		return env.withLetters(*config, func(l *letters) error {
			list := []*message.DeadLetter{}
			err := l.Each(ctx, filter, func(d *message.DeadLetter) error { list = append(list, d); return nil })
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(list)
			}
			count, err := l.store.CountDeadLetters(ctx, filter)
			if err != nil {
				return err
			}
			return env.printLetters(list, count)
		})
	})
}

func (e *env) printLetters(list []*message.DeadLetter, count int) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(e.stdout, "no dead letter waits")
		return err
	}
	t := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LETTER\tFAILED\tSUBJECT\tREASON")
	for _, l := range list {
		reason := printable(l.Reason)
		if l.Resolution != "" {
			reason = l.Resolution + ": " + reason
		}
		fmt.Fprintf(t, "%s/%d\t%s\t%s\t%s\n", l.Stream, l.Message.Seq, l.FailedAt.Local().Format(time.DateTime), printable(l.Message.Subject), reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := count - len(list); more > 0 {
		fmt.Fprintf(e.stdout, "and %d more: --limit, --stream, --reason and --since choose\n", more)
	}
	return nil
}

func addDeadLettersShow(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("show", "Show one whole: reason, what to do, headers, body, and the row of its key")
	name := cmd.Arg("letter", "STREAM/SEQ").Required().String()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		return env.withLetters(*config, func(l *letters) error {
			d, err := l.named(ctx, *name, true)
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(d)
			}
			row, err := l.Current(ctx, d)
			if err != nil {
				return err
			}
			return env.printLetter(d, row)
		})
	})
}

func (e *env) printLetter(l *message.DeadLetter, row []byte) error {
	t := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "reason\t%s\n", printable(l.Reason))
	if l.Resolution == "" {
		fmt.Fprintf(t, "to do\t%s\n", letterHint(l))
	} else {
		fmt.Fprintf(t, "resolved\t%s, %s\n", l.Resolution, l.ResolvedAt.Local().Format(time.DateTime))
	}
	fmt.Fprintf(t, "subject\t%s\nfailed\t%s\n", printable(l.Message.Subject), l.FailedAt.Local().Format(time.DateTime))
	if row != nil {
		fmt.Fprintf(t, "row of its key\t%s\n", row)
	}
	for _, k := range slices.Sorted(maps.Keys(l.Message.Header)) {
		for _, v := range l.Message.Header[k] {
			fmt.Fprintf(t, "header\t%s: %s\n", printable(k), printable(v))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "\n%s\n", strings.TrimSuffix(shownBody(l.Message.Data), "\n"))
	return err
}

// shownBody is the body as a terminal may be given it: text, or what `hexdump`
// would make of it.
func shownBody(data []byte) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }
	if utf8.Valid(data) && strings.IndexFunc(string(data), control) < 0 {
		return strings.ReplaceAll(string(data), "\r", "")
	}
	return hex.Dump(data)
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

// letterHint says what helps against a reason, by its SQLSTATE.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func letterHint(l *message.DeadLetter) string {
	const mend = "send it again mended: app dead-letters edit"
	switch {
	case l.SQLState == "23503":
		return "insert the row that it refers to, then app dead-letters retry; or " + mend
	case l.SQLState == "23505":
		return "another row has its key or id: app dead-letters discard, if that one is right; or change that row and retry"
	case l.SQLState == "23502":
		return "a value is missing: give the column a DEFAULT and retry; or " + mend
	case l.SQLState == "23514" || l.SQLState == "23P01":
		return "a rule of the table refuses it: change the rule and retry; or " + mend
	case l.SQLState == "22001" || l.SQLState == "22003":
		return "a value is too large for its column: widen the column and retry; or " + mend
	case strings.HasPrefix(l.SQLState, "22"):
		return "a value is none of its column's type: change the type, or columns in cluster.yaml, and retry; or " + mend
	case l.SQLState == "P0001":
		return "a trigger or function refuses it: see there, then retry; or " + mend
	case l.SQLState == "":
		return "the message is not what cluster.yaml says of its table: mend that and retry; or " + mend
	}
	return "mend the cause and app dead-letters retry; or " + mend + "; or app dead-letters discard"
}
