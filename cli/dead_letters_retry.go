package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/choria-io/fisk"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/message"
	"landfall/store"
)

func addDeadLettersRetry(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("retry", "Store some now that the cause is mended")
	cmd.HelpLong(`A dead letter becomes a row in its own place, once. Of a stream under mode upsert it is published again instead, as a
new message: the row of its key may have newer values by now.

Exits 1 if one is refused again.

Examples:

	app dead-letters retry ORDERS/17 ORDERS/18
	app dead-letters retry --reason orders_customer_fkey
	app dead-letters retry --all`)
	names := cmd.Arg("letters", "STREAM/SEQ ...").Strings()
	all := cmd.Flag("all", "All that wait").UnNegatableBool()
	var f letterFilter
	f.flags(cmd)
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		if len(*names) == 0 && !*all && *f.reason == "" && *f.stream == "" && !f.sinceSet {
			return misuse(errors.New("which? Name them as STREAM/SEQ, choose them with --reason, --stream or --since, or say --all"), "")
		}
		return env.withLetters(ctx, *config, f.filter(), *names, func(cfg *cluster.Config, db *store.Store, found []store.DeadLetter) error {
			return env.retry(ctx, cfg, db, found, nil)
		})
	})
}

// retry stores dead letters, or publishes them again; body, if not nil, takes
// the place of their own.
func (e *env) retry(ctx context.Context, cfg *cluster.Config, db *store.Store, found []store.DeadLetter, body []byte) error {
	upsert := map[string]bool{}
	streams := map[string]*store.Stream{}
	for _, s := range cfg.Streams {
		upsert[s.Name] = s.Table != nil && s.Table.Mode == cluster.Upsert
		streams[s.Name] = db.Stream(s.Name)
	}
	var js jetstream.JetStream
	refused := 0
	for i := range found {
		l := &found[i]
		name := fmt.Sprintf("%s/%d", l.Stream, l.Message.Seq)
		var err error
		done := "stored"
		switch s := streams[l.Stream]; {
		case s == nil:
			err = fmt.Errorf("stream %s is not in cluster.yaml", l.Stream)
		case upsert[l.Stream]:
			if js == nil {
				if js, err = e.publisher(cfg); err != nil {
					return err
				}
				defer js.Conn().Close()
			}
			done, err = publishAgain(ctx, js, db, l, body)
		default:
			err = s.Retry(ctx, l.StreamID, l.Message.Seq, body)
		}
		var still *store.StillRefused
		switch {
		case err == nil:
			fmt.Fprintf(e.stdout, "%s  %s\n", name, done)
		case errors.As(err, &still):
			refused++
			fmt.Fprintf(e.stdout, "%s  refused again: %s\n", name, printable(still.Reason))
		case errors.Is(err, store.ErrResolved):
			fmt.Fprintf(e.stdout, "%s  somebody else has dealt with it\n", name)
		default:
			return asMisuse(fmt.Errorf("%s: %w", name, err))
		}
	}
	fmt.Fprintf(e.stdout, "%d of %d dealt with\n", len(found)-refused, len(found))
	if refused > 0 {
		return errReported
	}
	return nil
}

func (e *env) publisher(cfg *cluster.Config) (jetstream.JetStream, error) {
	nc, err := nats.Connect(cfg.ClientURLs(), nats.Name("landfall dead-letters"), nats.Token(cfg.Token))
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w; is a node running?", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return js, nil
}

// publishAgain publishes a dead letter as a new message. It has an id of its
// own: should this process die before that is noted, and somebody retry it
// inside the duplicate window, it is one message all the same.
func publishAgain(ctx context.Context, js jetstream.JetStream, db *store.Store, l *store.DeadLetter, body []byte) (done string, err error) {
	done = "published again"
	err = db.Resolve(ctx, l.StreamID, l.Message.Seq, done, func(m *message.Message) error {
		again := &nats.Msg{Subject: m.Subject, Header: nats.Header{}, Data: m.Data}
		for k, vs := range m.Header {
			again.Header[k] = vs
		}
		if body != nil {
			again.Data = body
		}
		again.Header.Set(message.IDHeader, fmt.Sprintf("dead-letter/%d/%d", l.StreamID, m.Seq))
		ack, err := js.PublishMsg(ctx, again, jetstream.WithExpectStream(l.Stream))
		if err == nil {
			done = fmt.Sprintf("published again as %s/%d", ack.Stream, ack.Sequence)
		}
		return err
	})
	return done, err
}
