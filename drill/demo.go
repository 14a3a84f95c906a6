package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// DemoOptions say what `app demo` shows.
type DemoOptions struct {
	Binary          string // the program that the nodes run
	Messages        int
	Rate            float64        // messages a second
	DatabaseURL     string         // a server to create a database on; "": a private Postgres
	ElectionTimeout *time.Duration // nil: Landfall's default; 0: stock timers
	Keep            bool           // leave everything running until ctx ends
	Out             io.Writer      // the story, and the proof as its last line
	Terminal        bool           // Out is one: show progress
}

// ErrBroken says that the run ended, and its proof does not hold.
var ErrBroken = errors.New("the promise does not hold")

// How long the steps of the story may take before it is called a failure.
const (
	upDeadline       = 60 * time.Second
	leaderDeadline   = 30 * time.Second
	takeoverDeadline = 60 * time.Second
	publishPatience  = 60 * time.Second // for one message
	storePatience    = 30 * time.Second // without any progress
)

// Demo starts a cluster, publishes to it, kills the node that both leads the
// stream and stores it, and holds Postgres against what was promised. When it
// returns, all that it started is gone, also after a failure or the end of ctx.
func Demo(ctx context.Context, o DemoOptions) (v Verdict, err error) {
	d := &demo{DemoOptions: o, n: &narrator{out: o.Out, terminal: o.Terminal}}
	defer d.n.erase()

	if o.DatabaseURL == "" {
		d.n.say("starting Postgres")
	} else {
		d.n.say("creating a database of our own on the given Postgres")
	}
	if d.db, err = d.openDatabase(ctx); err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, d.db.Drop()) }()
	d.n.say("Postgres is up: %s", d.db.Where)

	d.cluster, err = NewCluster(Options{Binary: o.Binary, DatabaseURL: d.db.URL, ElectionTimeout: o.ElectionTimeout})
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, d.cluster.Close()) }()
	if d.ledger, err = NewLedger(filepath.Join(d.cluster.Dir(), "ledger")); err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, d.ledger.Close()) }()

	switch v, err = d.run(ctx); {
	case err != nil && ctx.Err() != nil:
		err = ctx.Err() // whatever it interrupted
	case err != nil:
		// The logs go with the directory: what they say goes with the error.
		err = fmt.Errorf("%w\n\nThe nodes' last warnings and errors:\n%s", err, strings.TrimRight(d.cluster.Trouble(5), "\n"))
	}
	return v, err
}

// demo is one run of the story.
type demo struct {
	DemoOptions
	n       *narrator
	db      *Database
	cluster *Cluster
	nc      *nats.Conn
	watch   *Watch
	ledger  *Ledger
}

func (d *demo) openDatabase(ctx context.Context) (*Database, error) {
	if d.DatabaseURL != "" {
		return OwnDatabase(ctx, d.DatabaseURL)
	}
	return PrivateDatabase(ctx)
}

// run is the story from the first node to the proof.
func (d *demo) run(ctx context.Context) (Verdict, error) {
	if err := d.startNodes(ctx); err != nil {
		return Verdict{}, err
	}
	var err error
	if d.nc, err = d.cluster.Dial("demo"); err != nil {
		return Verdict{}, err
	}
	defer d.nc.Close()
	if d.watch, err = NewWatch(ctx, d.db.URL); err != nil {
		return Verdict{}, err
	}
	defer d.watch.Close()

	victim, err := d.arrange(ctx)
	if err != nil {
		return Verdict{}, err
	}
	if err := d.publishAndKill(ctx, victim); err != nil {
		return Verdict{}, err
	}
	if err := d.awaitStored(ctx); err != nil {
		return Verdict{}, err
	}
	v, err := Check(ctx, d.db.URL, d.ledger)
	if err != nil {
		return v, err
	}
	return v, d.conclude(ctx, v)
}

func (d *demo) startNodes(ctx context.Context) error {
	d.n.say("starting three nodes in %s", d.cluster.Dir())
	began := time.Now()
	up, cancel := context.WithTimeoutCause(ctx, upDeadline, fmt.Errorf("not there after %s", upDeadline))
	defer cancel()
	if err := d.cluster.Up(up); err != nil {
		return err
	}
	for _, n := range d.cluster.Addresses() {
		d.n.say("  %s  process %d  NATS nats://%s  HTTP http://%s", n.Name, d.cluster.PID(n.Name), n.Client, n.HTTP)
	}
	d.n.say("all three are ready after %s; to watch: http://%s/", seconds(time.Since(began)), d.cluster.Addresses()[0].HTTP)
	return nil
}

// arrange waits until Postgres knows the stream, and makes one node lead both
// the stream and its consumer: the worst one to lose.
func (d *demo) arrange(ctx context.Context) (victim string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, leaderDeadline, fmt.Errorf("not so after %s", leaderDeadline))
	defer cancel()
	if err := d.watch.AwaitCursor(ctx, Stream, 0, leaderDeadline); err != nil {
		return "", err
	}
	now, err := AwaitLeaders(ctx, d.nc, Stream, func(Leaders) bool { return true })
	if err != nil {
		return "", err
	}
	victim = now.Stream
	d.n.say("%s leads stream %s, %s stores it in Postgres", now.Stream, Stream, now.Consumer)
	if now.Both() == "" {
		if err := LeadBoth(ctx, d.nc, Stream, victim); err != nil {
			return "", err
		}
		d.n.say("handed over: %s now leads and stores, so that its loss is the worst there is", victim)
	}
	return victim, nil
}

// awaitStored waits until Postgres has the stream to its end.
func (d *demo) awaitStored(ctx context.Context) error {
	began := time.Now()
	t := d.ledger.Tally()
	if err := d.watch.AwaitCursor(ctx, Stream, t.LastSeq, storePatience); err != nil {
		return err
	}
	d.n.say("Postgres has everything, %s after the last message was published", seconds(time.Since(began)))
	return nil
}

// conclude says what was found, prints the proof, and keeps the cluster if
// that is wanted.
func (d *demo) conclude(ctx context.Context, v Verdict) error {
	for _, finding := range v.Findings {
		d.n.say("found: %s", finding)
	}
	if d.Keep {
		d.n.say("everything stays up until Ctrl-C:")
		for _, n := range d.cluster.Addresses() {
			d.n.line(fmt.Sprintf("  %s  nats://%s  http://%s  log %s", n.Name, n.Client, n.HTTP, d.cluster.LogPath(n.Name)))
		}
		d.n.line("  LANDFALL_CONFIG=" + d.cluster.ConfigPath() + " " + d.Binary + " verify")
		d.n.line("  LANDFALL_CONFIG=" + d.cluster.ConfigPath() + " " + d.Binary + " nats pub messages hello")
		d.n.line("  " + d.db.PSQL + ` -c 'SELECT seq, subject, content, stored_at FROM messages ORDER BY seq DESC LIMIT 10'`)
	}
	d.n.line(v.Proof())
	if d.Keep {
		<-ctx.Done()
	}
	if !v.Holds() || v.Acked != d.Messages {
		return fmt.Errorf("%w: %d offered, %d acknowledged, %d refused, %d of unknown outcome, %d unexplained, %d gaps",
			ErrBroken, v.Offered, v.Acked, v.Refused, v.Unknown, v.Unexplained, v.Gaps)
	}
	return nil
}

// compose makes the n-th message of a door: its id and body are its own, and
// the body reads well in a table.
func compose(run, door string) func(n int) Message {
	return func(n int) Message {
		id := fmt.Sprintf("%s-%s-%d", run, door, n)
		body := fmt.Sprintf(`{"run":%q,"door":%q,"n":%d,"note":"`, run, door, n)
		return Message{
			ID: id, Subject: "messages." + door,
			Body: []byte(body + strings.Repeat("landfall ", max(1, (bodySize-len(body))/9)) + `"}`),
		}
	}
}

// bodySize is about the size of a demo message.
const bodySize = 256

// runName tells the messages of this run from those of any other.
func runName() string { return uuid.NewString()[:8] }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
