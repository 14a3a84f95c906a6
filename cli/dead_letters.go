package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/choria-io/fisk"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/message"
	"landfall/process"
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
	app dead-letters accept ORDERS
	app dead-letters export > letters.ndjson
	app dead-letters publish letters.ndjson`)
	addDeadLettersList(cmd, env)
	addDeadLettersShow(cmd, env)
	addDeadLettersRetry(cmd, env)
	addDeadLettersEdit(cmd, env)
	addDeadLettersDiscard(cmd, env)
	addDeadLettersAccept(cmd, env)
	addDeadLettersExport(cmd, env)
	addDeadLettersPublish(cmd, env)
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

// letters is what the commands about dead letters work with.
type letters struct {
	*process.Letters
	env   *env
	cfg   *cluster.Config
	store *store.Store
	nc    *nats.Conn // nil until something is published
}

// withLetters opens the cluster's Postgres for a command.
func (e *env) withLetters(config string, do func(*letters) error) error {
	cfg, err := loadCluster(config)
	if err != nil {
		return err
	}
	db, err := store.Open(cfg, "dead-letters")
	if err != nil {
		return err
	}
	defer db.Close()
	l := &letters{env: e, cfg: cfg, store: db}
	defer func() {
		if l.nc != nil {
			l.nc.Close()
		}
	}()
	l.Letters = process.NewLetters(cfg, db, l.jetStream)
	return asMisuse(do(l))
}

// jetStream is the cluster's.
func (l *letters) jetStream() (jetstream.JetStream, error) {
	if l.nc == nil {
		nc, err := nats.Connect(l.cfg.ClientURLs(), nats.Name("landfall dead-letters"), nats.Token(l.cfg.Token))
		if err != nil {
			return nil, fmt.Errorf("connect to the cluster: %w; is a node running?", err)
		}
		l.nc = nc
	}
	js, err := jetstream.New(l.nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return js, nil
}

// tableOf is the stream's own table; nil if it has none.
func (l *letters) tableOf(stream string) *cluster.Table {
	for _, s := range l.cfg.Streams {
		if s.Name == stream {
			return s.Table
		}
	}
	return nil
}

// named finds the dead letter STREAM/SEQ.
func (l *letters) named(ctx context.Context, text string, resolved bool) (*message.DeadLetter, error) {
	stream, number, found := strings.Cut(text, "/")
	seq, err := strconv.ParseUint(number, 10, 63)
	if !found || err != nil || stream == "" || seq == 0 {
		return nil, misuse(fmt.Errorf("%q is no dead letter: write STREAM/SEQ, as app dead-letters list does", text), "")
	}
	d, err := l.Find(ctx, stream, seq, resolved)
	if err == nil && d == nil {
		err = misuse(fmt.Errorf("no dead letter waits at %s", text), "app dead-letters list shows those that do")
	}
	return d, err
}

// outcome is what became of one dead letter, as --json prints it: a line each.
type outcome struct {
	Stream string `json:"stream"`
	Seq    uint64 `json:"seq"`
	process.Retried
	Refused string `json:"refused,omitempty"` // still, for this reason
	Gone    bool   `json:"gone,omitempty"`    // somebody else has dealt with it
}

// dealing counts what became of letters, and tells.
type dealing struct {
	*letters
	asJSON       bool
	done, failed int
	said         time.Time // when progress was told
}

// tell says what became of a letter; an error that is none of its own comes
// back, with its name.
func (d *dealing) tell(l *message.DeadLetter, r process.Retried, err error) error {
	o := outcome{Stream: l.Stream, Seq: l.Message.Seq, Retried: r}
	name := fmt.Sprintf("%s/%d", l.Stream, l.Message.Seq)
	line := name + "  " + r.Resolution
	var still *store.StillRefused
	switch {
	case err == nil:
		d.done++
		if r.Row != nil {
			line += ", over " + string(r.Row)
		}
	case errors.As(err, &still):
		d.failed++
		o.Retried, o.Refused = process.Retried{}, still.Reason
		line = name + "  refused again: " + printable(still.Reason)
	case errors.Is(err, store.ErrResolved):
		o.Retried, o.Gone = process.Retried{}, true
		line = name + "  somebody else has dealt with it"
	default:
		return fmt.Errorf("%s: %w", name, err)
	}
	if d.asJSON {
		return d.env.printLine(o)
	}
	_, err = fmt.Fprintln(d.env.stdout, line)
	return err
}

// end sums up. Its error is that some letters are still refused.
func (d *dealing) end() error {
	if !d.asJSON {
		fmt.Fprintf(d.env.stdout, "%d dealt with, %d refused again\n", d.done, d.failed)
	}
	if d.failed > 0 {
		return errReported
	}
	return nil
}
