package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/choria-io/fisk"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
	"landfall/message"
	"landfall/node"
	"landfall/store"
)

// verifyTimeout bounds the questions to the cluster; counting rows takes as
// long as it takes.
const verifyTimeout = 10 * time.Second

func addVerify(app *fisk.Application, env *env) {
	cmd := app.Command("verify", "Hold the streams against the tables")
	cmd.HelpLong(`Counts what became of every message: stored as a row, pending, set aside as a dead letter, recognised as a duplicate,
or gone (a gap); and how many rows were deleted since, because they were older than keep. Reads all rows of the messages table; those of a table of your own it does not count. Exits 1 if a sequence is nowhere, or in two places, or gone.

Examples:

	app verify
	app verify --json`)
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		cfg, err := loadCluster(*config)
		if err != nil {
			return err
		}
		found, err := verify(ctx, cfg)
		var setup *message.SetupError
		switch {
		case errors.As(err, &setup):
			return misuse(err, "")
		case err != nil:
			return err
		}
		if err := printVerified(env.stdout, found, *asJSON); err != nil {
			return err
		}
		return doubts(found)
	})
}

// verified is a stream as both sides have it.
type verified struct {
	store.Account
	Pending *int64 `json:"pending"` // messages the stream has beyond the cursor; null for an incarnation that is over
}

// verify reads both sides: first Postgres, so that pending is never negative.
func verify(ctx context.Context, cfg *cluster.Config) ([]verified, error) {
	db, err := store.Open(cfg, "verify")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	accounts, err := db.Audit(ctx)
	if err != nil {
		return nil, err
	}
	streams, err := streamStates(ctx, cfg)
	if err != nil {
		return nil, err
	}
	all := make([]verified, 0, len(accounts)+len(streams))
	for _, a := range accounts {
		all = append(all, verified{Account: a})
	}
	for _, st := range streams {
		all = withPending(all, st)
	}
	return all, nil
}

// withPending adds what a stream has beyond the cursor of its incarnation,
// which Postgres may not have heard of yet.
func withPending(all []verified, st *jetstream.StreamInfo) []verified {
	incarnation := st.Config.Metadata[node.IncarnationKey]
	at := slices.IndexFunc(all, func(v verified) bool {
		return v.Stream == st.Config.Name && v.Incarnation == incarnation
	})
	if at < 0 {
		at = len(all)
		all = append(all, verified{Account: store.Account{Stream: st.Config.Name, Incarnation: incarnation, Start: 1}})
	}
	pending := max(int64(st.State.LastSeq)-all[at].Cursor, 0)
	all[at].Pending = &pending
	return all
}

// streamStates asks the cluster, through any node that answers, where its
// streams stand.
func streamStates(ctx context.Context, cfg *cluster.Config) ([]*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	nc, err := nats.Connect(cfg.ClientURLs(), nats.Name("landfall verify"), nats.Token(cfg.Token))
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w; is a node running?", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	var all []*jetstream.StreamInfo
	for _, s := range cfg.Streams {
		stream, err := js.Stream(ctx, s.Name)
		if err != nil {
			return nil, fmt.Errorf("read the state of stream %s: %w", s.Name, err)
		}
		all = append(all, stream.CachedInfo())
	}
	return all, nil
}

func printVerified(w io.Writer, all []verified, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Streams []verified `json:"streams"`
		}{all})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	expired := slices.ContainsFunc(all, func(v verified) bool { return v.Expired > 0 })
	heading := "stream\tid\tcursor\tstored\tpending\tdead letters\tduplicates\tgaps\t"
	if expired {
		heading += "expired\t"
	}
	fmt.Fprintln(t, heading)
	for _, v := range all {
		pending := "-"
		if v.Pending != nil {
			pending = fmt.Sprint(*v.Pending)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t", v.Stream, v.StreamID, v.Cursor, v.Rows, pending, v.DeadLetters, v.Duplicates, v.Gaps)
		if expired {
			fmt.Fprintf(t, "%d\t", v.Expired)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// doubts is the error if anything does not add up.
func doubts(all []verified) error {
	var errs []error
	for _, v := range all {
		for _, r := range v.Missing {
			errs = append(errs, fmt.Errorf("stream %s (id %d): sequences %d to %d are nowhere", v.Stream, v.StreamID, r.From, r.To))
		}
		for _, r := range v.Twice {
			errs = append(errs, fmt.Errorf("stream %s (id %d): sequences %d to %d are in more than one place, or beyond the cursor", v.Stream, v.StreamID, r.From, r.To))
		}
		if v.Gaps > 0 {
			errs = append(errs, fmt.Errorf("stream %s (id %d): %d messages are gone: SELECT * FROM landfall.gaps WHERE stream_id = %d", v.Stream, v.StreamID, v.Gaps, v.StreamID))
		}
	}
	return errors.Join(errs...)
}
