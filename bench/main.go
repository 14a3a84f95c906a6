// Command bench measures Landfall against its limits, and against what people
// would use instead, in turns in one run on one machine: a private Postgres
// with fsync on and three real node processes that fsync before they
// acknowledge.
//
//	go run ./bench                       the whole table, in less than 20 minutes
//	go run ./bench --quick               every line once and small, in less than 2
//	go run ./bench --only drain,latency  some lines
//	go run ./bench --json > figures.json
//
// Figures are medians with minimum and maximum; what counts is the ratio.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"landfall/drill"
)

type options struct {
	rounds   int
	messages int // of a backlog
	size     int // bytes of a body
	quick    bool
	json     bool
	only     []string
	binary   string // the program that is measured
}

// scaled is n, or in a quick run a tenth of it.
func (o *options) scaled(n int) int {
	if o.quick {
		return n / 10
	}
	return n
}

// lasting is d, or in a quick run a fifth of it.
func (o *options) lasting(d time.Duration) time.Duration {
	if o.quick {
		return d / 5
	}
	return d
}

// line is one measurement. It may give several rows.
type line struct {
	name, about string
	measure     func(context.Context, *options, *progress) ([]row, error)
}

func lines() []line {
	return []line{
		{"drain", "a backlog into Postgres", measureDrain},
		{"tables", "append and upsert into twelve columns", measureTables},
		{"steady", "publish and store at once", measureSteady},
		{"ndjson", "batches over HTTP", measureNDJSON},
		{"single", "single messages over HTTP, 64 callers", measureSingle},
		{"latency", "from publish to visible", measureLatency},
		{"stored", "ack=stored over HTTP", measureStored},
		{"failover", "kill -9 and SIGTERM", measureFailover},
		{"cost", "CPU time and memory", measureCost},
		{"page", "20 open status pages", measurePage},
		{"sizes", "bodies from 64 bytes to 256 KiB", measureSizes},
		{"growth", "more streams, a large table, an old snapshot", measureGrowth},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, help io.Writer) (*options, error) {
	o := &options{}
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.Usage = func() {
		fmt.Fprintln(help, "go run ./bench [flags]: measures Landfall against its limits. Lines:")
		for _, l := range lines() {
			fmt.Fprintf(help, "  %-10s %s\n", l.name, l.about)
		}
		flags.PrintDefaults()
	}
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each line")
	flags.IntVar(&o.messages, "messages", 200_000, "messages of a backlog")
	flags.IntVar(&o.size, "size", 256, "bytes of a message's body")
	flags.BoolVar(&o.quick, "quick", false, "one small round of each line")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	flags.StringVar(&only, "only", "", "these lines, separated by commas")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(lines(), func(l line) bool { return l.name == name }) {
			return nil, fmt.Errorf("there is no line %q: see --help", name)
		}
	}
	if o.rounds < 1 || o.messages < 1000 || o.size < 1 {
		return nil, errors.New("at least one round, 1,000 messages, and 1 byte")
	}
	if o.quick {
		o.rounds, o.messages = 1, max(1000, o.messages/4) // fewer would be a batch or two
	}
	return o, nil
}

func run(ctx context.Context, o *options, out, narration io.Writer) error {
	dir, err := os.MkdirTemp("", "landfall-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.binary, err = drill.BuildBinary(ctx, dir); err != nil {
		return err
	}
	r := report{
		Date: time.Now().UTC().Format(time.DateOnly), Rounds: o.rounds,
		Machine: fmt.Sprintf("%d cores, %s, %s/%s", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
	p := &progress{w: narration, began: time.Now()}
	var failed error // what was measured before is told all the same
	for _, l := range lines() {
		if len(o.only) > 0 && !slices.Contains(o.only, l.name) {
			continue
		}
		p.say("%s: %s", l.name, l.about)
		rows, err := l.measure(ctx, o, p)
		if err != nil {
			failed = fmt.Errorf("%s: %w", l.name, err)
			break
		}
		for i := range rows {
			rows[i].compare()
		}
		r.Rows = append(r.Rows, rows...)
	}
	if o.json {
		return errors.Join(failed, r.json(out))
	}
	return errors.Join(failed, r.markdown(out))
}

// pause lets time pass, unless the context ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// progress tells what is going on.
type progress struct {
	w     io.Writer
	began time.Time
}

func (p *progress) say(format string, args ...any) {
	fmt.Fprintf(p.w, "%6.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}
