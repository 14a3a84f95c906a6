package drill

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

var (
	tablesSeed  = flag.Uint64("tables-seed", 0, "the `seed` of the documents that fill tables; 0: a fresh one")
	tablesLines = flag.Int("tables-lines", 100_000, "how many `lines` the lane tables sends to each of three tables")
)

// tablesLane fills a table in each mode with documents of many types, one in a
// hundred of them bad, while the nodes that store are killed and Postgres is,
// and holds what came of it against a model.
func tablesLane(t *testing.T) {
	tablesProof{lines: *tablesLines, kills: 9, restarts: 4, within: 20 * time.Minute}.run(t)
}

// tablesProof is how much of it.
type tablesProof struct {
	lines           int // for each table
	kills, restarts int
	within          time.Duration
}

func (p tablesProof) run(t *testing.T) {
	seed := *tablesSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-tables-seed %d", seed)
	server := pgtest.Server(t)
	ctx := within(t, p.within)
	if err := execOnce(ctx, server.URL(), tableSchema()); err != nil {
		t.Fatal(err)
	}
	r := upRig(t, Options{DatabaseURL: server.URL(), Streams: tableStreams()})
	nc := r.dial()
	js, err := jetstream.New(nc)
	r.must(err)
	http := r.HTTPDoor(len(tableModes()))
	defer http.Close()
	var sent atomic.Int64
	var runs []*tableRun
	var streams []string
	for _, mode := range tableModes() {
		u := &tableRun{rig: r, seed: seed, mode: mode, lines: p.lines, http: http, js: js, sent: &sent}
		u.plan()
		runs, streams = append(runs, u), append(streams, tableStream(mode))
	}
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	for _, u := range runs {
		g.Go(func() error { return u.run(gctx) })
	}
	g.Go(func() error {
		return r.trouble(gctx, nc, server, streams, p.kills, p.restarts, func(share float64) bool {
			return float64(sent.Load()) >= share*float64(len(runs)*p.lines)
		})
	})
	r.must(g.Wait())
	published := time.Since(began)
	total, bad := 0, 0
	var worlds []tableWorld
	for _, u := range runs {
		stream, err := js.Stream(ctx, tableStream(u.mode))
		r.must(err)
		r.storedOf(ctx, tableStream(u.mode), stream.CachedInfo().State.LastSeq)
	}
	took := time.Since(began)
	for _, u := range runs {
		messages, err := u.read(ctx)
		r.must(err)
		worlds = append(worlds, u.model(messages))
		total += len(messages)
	}
	for i, u := range runs {
		bad += u.compare(ctx, &worlds[i])
	}
	t.Logf("tables: %d lines in %d streams, %d of them bad, %d kill -9 of the node that stores, %d kill -9 of Postgres: published after %.1f s, stored after %.1f s, %d lines/s",
		total, len(runs), bad, p.kills, p.restarts, published.Seconds(), took.Seconds(), rate(total, took))
}

// trouble kills the nodes that store the streams, one after the other, and
// Postgres in between, spread over the run; reached tells whether so much of
// it, from 0 to 1, is over.
func (r *rig) trouble(ctx context.Context, nc *nats.Conn, server *pgserver.Server, streams []string, kills, restarts int, reached func(float64) bool) error {
	events, postgres := kills+restarts, 0
	for n := range events {
		share := float64(n+1) / float64(events+1)
		if err := poll(ctx, 5*time.Millisecond, func(context.Context) (bool, error) { return reached(share), nil }); err != nil {
			return err
		}
		if postgres < restarts && (n+1)*restarts >= (postgres+1)*events {
			postgres++
			if err := server.Kill(); err != nil {
				return err
			}
			if err := server.Restart(ctx); err != nil {
				return err
			}
			continue
		}
		if err := r.killStoring(ctx, nc, streams[n%len(streams)]); err != nil {
			return err
		}
	}
	return nil
}

// killStoring kills the node that stores a stream, waits until another does,
// and starts it again.
func (r *rig) killStoring(ctx context.Context, nc *nats.Conn, stream string) error {
	now, err := AwaitLeaders(ctx, nc, stream, Leaders.Complete)
	if err != nil {
		return err
	}
	if _, err := r.Kill(ctx, now.Consumer); err != nil {
		return err
	}
	if _, err := AwaitLeaders(ctx, nc, stream, func(l Leaders) bool { return l.Complete() && l.Consumer != now.Consumer }); err != nil {
		return err
	}
	if err := r.Start(now.Consumer); err != nil {
		return err
	}
	return r.AwaitReady(ctx, now.Consumer)
}

// storedOf waits until Postgres has a stream up to seq.
func (r *rig) storedOf(ctx context.Context, stream string, seq uint64) {
	r.t.Helper()
	w, err := NewWatch(ctx, r.url)
	r.must(err)
	defer w.Close()
	r.must(w.AwaitCursor(ctx, stream, seq, 45*time.Second))
}

// compare holds everything in Postgres against the model, and returns how many
// messages were bad.
func (u *tableRun) compare(ctx context.Context, w *tableWorld) int {
	u.t.Helper()
	conn, err := pgx.Connect(ctx, u.url)
	u.must(err)
	defer conn.Close(context.WithoutCancel(ctx))
	differences, err := w.compareRows(ctx, conn, u.mode)
	u.must(err)
	ways, unnoticed, more, err := w.compareDead(ctx, conn, u.mode)
	u.must(err)
	var repeats, gaps, incarnations int
	var cursor uint64
	u.must(conn.QueryRow(ctx, `SELECT count(*), coalesce(sum((SELECT count(*) FROM landfall.duplicates AS d WHERE d.stream_id = s.id)), 0),
		coalesce(sum((SELECT count(*) FROM landfall.gaps AS g WHERE g.stream_id = s.id)), 0), max(last_seq)
		FROM landfall.streams AS s WHERE s.name = $1`, tableStream(u.mode)).Scan(&incarnations, &repeats, &gaps, &cursor))
	if incarnations != 1 || gaps != 0 || cursor != w.last || repeats != len(w.noted) {
		more = append(more, fmt.Sprintf("%d incarnations, %d gaps, the cursor at %d of %d; %d repeats of dead letters noted, where %d are due",
			incarnations, gaps, cursor, w.last, repeats, len(w.noted)))
	}
	differences = append(differences, more...)
	for _, d := range differences[:min(len(differences), 2*mostDifferences)] {
		u.t.Errorf("%s: %s", u.mode, d)
	}
	dead := 0
	text := ""
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		dead += ways[name]
		text += fmt.Sprintf("; %s %d", name, ways[name])
	}
	u.t.Logf("%s: %d rows as the model has them, %d dead letters, %d bad ones that another of their key covered%s", u.mode, len(w.rows), dead, unnoticed, text)
	return len(w.dead)
}
