// Command bench measures Landfall against its limits, in turns in one run on
// one machine: a private Postgres with fsync on and three real node processes
// that fsync before they acknowledge.
//
//	go run ./bench                 the drain of a backlog, beside bare COPY
//	go run ./bench --rounds 5 --messages 200000 --size 256
//
// Figures are medians with minimum and maximum; what counts is the ratio.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"
)

type options struct {
	rounds   int
	messages int
	size     int // bytes of a body
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each line")
	flag.IntVar(&o.messages, "messages", 200_000, "messages in the backlog")
	flag.IntVar(&o.size, "size", 256, "bytes of a message body")
	flag.Parse()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) error {
	s, err := startStage(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintf(w, "%s, %d cores, %s %s/%s, %d rounds of %d messages of %d bytes\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, o.rounds, o.messages, o.size)
	var drained, copied []float64
	sizes := map[int][]float64{}
	for round := range o.rounds {
		d, err := s.drain(ctx, o, round)
		if err != nil {
			return fmt.Errorf("round %d: drain: %w", round+1, err)
		}
		drained = append(drained, d)
		best := 0.0
		for _, batch := range copyBatches {
			c, err := s.copyAlone(ctx, o, batch)
			if err != nil {
				return fmt.Errorf("round %d: COPY: %w", round+1, err)
			}
			sizes[batch] = append(sizes[batch], c)
			best = max(best, c)
		}
		copied = append(copied, best)
		fmt.Fprintf(w, "round %d: drain %.0f rows/s, best COPY %.0f rows/s, ratio %.2f\n", round+1, d, best, d/best)
	}
	fmt.Fprintln(w)
	line(w, "drain", drained)
	for _, batch := range copyBatches {
		line(w, fmt.Sprintf("COPY alone, batches of %d", batch), sizes[batch])
	}
	line(w, "COPY alone, best of each round", copied)
	ratios := make([]float64, o.rounds)
	for i := range ratios {
		ratios[i] = drained[i] / copied[i]
	}
	fmt.Fprintf(w, "%-36s %10.2f  (%.2f to %.2f)\n", "ratio", median(ratios), slices.Min(ratios), slices.Max(ratios))
	return nil
}

func line(w io.Writer, name string, figures []float64) {
	fmt.Fprintf(w, "%-36s %10.0f  (%.0f to %.0f) rows/s\n", name, median(figures), slices.Min(figures), slices.Max(figures))
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
