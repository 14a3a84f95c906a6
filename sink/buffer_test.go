package sink

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"landfall/message"
)

var errSource = errors.New("the source failed")

// appendSeq encodes a message as its sequence and a space.
func appendSeq(dst []byte, m *message.Message) []byte {
	return append(strconv.AppendUint(dst, m.Seq, 10), ' ')
}

// run is the messages of sequences from to to, with bodies of size bytes.
func run(from, to uint64, size int) (ms []message.Message) {
	for seq := from; seq <= to; seq++ {
		ms = append(ms, message.Message{Seq: seq, Data: make([]byte, size)})
	}
	return ms
}

// whole fails the test unless the batch is the sequences from to to, encoded
// and counted.
func whole(t *testing.T, b *message.Batch, from, to uint64) {
	t.Helper()
	if b == nil {
		t.Fatalf("no batch, want %d to %d", from, to)
	}
	var rows []byte
	size := 0
	for _, m := range run(from, to, 0) {
		rows = appendSeq(rows, &m)
	}
	for i := range b.Messages {
		size += b.Messages[i].Size()
	}
	if string(b.Rows) != string(rows) || len(b.Messages) != int(to+1-from) || b.Messages[0].Seq != from || b.Size != size {
		t.Fatalf("batch of %d messages, size %d, rows %q; want %d to %d, size %d", len(b.Messages), b.Size, b.Rows, from, to, size)
	}
}

func TestBufferTakesInOrder(t *testing.T) {
	ctx := t.Context()
	b := newBuffer(appendSeq, 5, 100)
	// Redeliveries before, among and behind what is due.
	for _, ms := range [][]message.Message{run(1, 6, 1), run(5, 7, 1), run(2, 3, 1), run(8, 8, 1)} {
		if err := b.put(ctx, ms); err != nil {
			t.Fatal(err)
		}
	}
	spare := &message.Batch{}
	first, err := b.take(ctx, spare, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, first, 5, 8)
	if err := b.put(ctx, run(9, 10, 1)); err != nil {
		t.Fatal(err)
	}
	second, err := b.take(ctx, first, time.Minute)
	if err != nil || second != spare {
		t.Fatalf("took %p, %v; want the spare batch %p", second, err, spare)
	}
	whole(t, second, 9, 10)
}

func TestBufferLimits(t *testing.T) {
	body := 1 << 20
	each := (&message.Message{Data: make([]byte, body)}).Size()
	tests := map[string]struct {
		rows, size int
		want       []int // messages in each batch
	}{
		"rows":           {4, 10, []int{4, 4, 2}},
		"one row":        {1, 10, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		"bytes":          {100, body, []int{maxBytes / each, 10 - maxBytes/each}},
		"larger than it": {100, maxBytes + 1, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		"neither":        {100, 10, []int{10}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBuffer(appendSeq, 1, tt.rows)
				var put errgroup.Group
				put.Go(func() error { return b.put(t.Context(), run(1, 10, tt.size)) })
				spare := &message.Batch{}
				next := uint64(1)
				for _, n := range tt.want {
					synctest.Wait() // the batch is full, or everything is in it
					got, err := b.take(t.Context(), spare, time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					whole(t, got, next, next+uint64(n)-1)
					next += uint64(n)
					spare = got
					spare.Reset()
				}
				if err := put.Wait(); err != nil {
					t.Fatal(err)
				}
				if got, err := b.take(t.Context(), spare, time.Minute); got != nil || err != nil {
					t.Fatalf("took %v, %v; want nothing more", got, err)
				}
			})
		})
	}
}

// A message larger than a batch may be goes alone, between the others.
func TestBufferLargeMessageGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(appendSeq, 1, 100)
		ms := slices.Concat(run(1, 3, 10), run(4, 4, maxBytes+1), run(5, 6, 10))
		var put errgroup.Group
		put.Go(func() error { return b.put(t.Context(), ms) })
		for _, want := range [][2]uint64{{1, 3}, {4, 4}, {5, 6}} {
			synctest.Wait()
			got, err := b.take(t.Context(), &message.Batch{}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			whole(t, got, want[0], want[1])
		}
		if err := put.Wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBufferKeepsWhatCameBeforeAHole(t *testing.T) {
	ctx := t.Context()
	b := newBuffer(appendSeq, 1, 100)
	err := b.put(ctx, append(run(1, 4, 1), run(6, 9, 1)...))
	var hole *holeError
	if !errors.As(err, &hole) || hole.missing != 5 || hole.came != 6 {
		t.Fatalf("error %v, want 5 missing", err)
	}
	b.fail(err)
	got, err := b.take(ctx, &message.Batch{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, got, 1, 4)
	if _, err = b.take(ctx, &message.Batch{}, time.Minute); !errors.As(err, &hole) {
		t.Fatalf("error %v, want the hole", err)
	}
}

func TestBufferTakeWaits(t *testing.T) {
	t.Run("nothing comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBuffer(appendSeq, 1, 100)
			began := time.Now()
			got, err := b.take(t.Context(), &message.Batch{}, idlePoll)
			if got != nil || err != nil || time.Since(began) != idlePoll {
				t.Errorf("took %v, %v after %v; want nothing after %v", got, err, time.Since(began), idlePoll)
			}
		})
	})
	t.Run("a redelivery is nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBuffer(appendSeq, 10, 100)
			if err := b.put(t.Context(), run(8, 9, 1)); err != nil {
				t.Fatal(err)
			}
			if got, err := b.take(t.Context(), &message.Batch{}, idlePoll); got != nil || err != nil {
				t.Errorf("took %v, %v", got, err)
			}
		})
	})
	t.Run("a message comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBuffer(appendSeq, 1, 100)
			began := time.Now()
			var put errgroup.Group
			put.Go(func() error {
				wait(t.Context(), time.Second)
				return b.put(t.Context(), run(1, 1, 1))
			})
			got, err := b.take(t.Context(), &message.Batch{}, time.Minute)
			if err != nil || put.Wait() != nil {
				t.Fatal(err)
			}
			whole(t, got, 1, 1)
			if time.Since(began) != time.Second {
				t.Errorf("took it after %v", time.Since(began))
			}
		})
	})
	t.Run("the source fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBuffer(appendSeq, 1, 100)
			var fail errgroup.Group
			fail.Go(func() error {
				wait(t.Context(), time.Second)
				b.fail(errSource)
				return nil
			})
			if got, err := b.take(t.Context(), &message.Batch{}, time.Minute); got != nil || !errors.Is(err, errSource) {
				t.Errorf("took %v, %v; want the source's error", got, err)
			}
			_ = fail.Wait()
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBuffer(appendSeq, 1, 100)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got, err := b.take(ctx, &message.Batch{}, time.Minute); got != nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("took %v, %v", got, err)
			}
			// What is there is still handed out: it is the batch in hand.
			if err := b.put(ctx, run(1, 2, 1)); err != nil {
				t.Fatal(err)
			}
			got, err := b.take(ctx, &message.Batch{}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			whole(t, got, 1, 2)
		})
	})
}

func TestBufferPutWaitsAndIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(appendSeq, 1, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := b.put(ctx, run(1, 5, 1))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("put ended with %v after %v", err, time.Since(began))
		}
		got, err := b.take(t.Context(), &message.Batch{}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		whole(t, got, 1, 2)
	})
}

func TestBufferAllow(t *testing.T) {
	ctx := t.Context()
	b := newBuffer(appendSeq, 1, 2)
	b.allow(10)
	if err := b.put(ctx, run(1, 10, 1)); err != nil {
		t.Fatal(err)
	}
	got, err := b.take(ctx, &message.Batch{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, got, 1, 10)
}

// One puts deliveries of any cut, with redeliveries among them and a hole at
// the end, the other takes with two batches in turn: everything before the
// hole comes out once, in order, within the limits, then the error.
func TestBufferBetweenTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Uint64Range(1, 1000).Draw(t, "start")
		rows := rapid.IntRange(1, 20).Draw(t, "rows")
		var deliveries [][]message.Message
		next := start
		for range rapid.IntRange(0, 30).Draw(t, "deliveries") {
			back := rapid.Uint64Range(0, min(3, next-1)).Draw(t, "redelivered")
			n := rapid.Uint64Range(0, 30).Draw(t, "new")
			size := rapid.SampledFrom([]int{0, 10, 1000, maxBytes / 3}).Draw(t, "size")
			if n > 5 && size > 1000 {
				size = 1000
			}
			deliveries = append(deliveries, run(next-back, next+n-1, size))
			next += n
		}
		hole := rapid.Bool().Draw(t, "hole")
		if hole {
			deliveries = append(deliveries, run(next+1, next+3, 1))
		}
		b := newBuffer(appendSeq, start, rows)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		var put errgroup.Group
		put.Go(func() error {
			err := errSource
			for _, ms := range deliveries {
				if e := b.put(ctx, ms); e != nil {
					err = e
					break
				}
			}
			b.fail(err)
			return nil
		})
		spare := &message.Batch{}
		due := start
		for {
			got, err := b.take(ctx, spare, time.Minute)
			if err != nil {
				var missing *holeError
				if errors.As(err, &missing) != hole || !hole && !errors.Is(err, errSource) {
					t.Fatalf("ended with %v, hole %v", err, hole)
				}
				break
			}
			if len(got.Messages) > rows || got.Size > maxBytes && len(got.Messages) > 1 {
				t.Fatalf("batch of %d messages, %d bytes", len(got.Messages), got.Size)
			}
			var want []byte
			for i := range got.Messages {
				if got.Messages[i].Seq != due {
					t.Fatalf("took %d, want %d", got.Messages[i].Seq, due)
				}
				want = appendSeq(want, &got.Messages[i])
				due++
			}
			if string(want) != string(got.Rows) {
				t.Fatalf("rows %q, want %q", got.Rows, want)
			}
			spare = got
			spare.Reset()
		}
		if due != next {
			t.Fatalf("ended before %d, want all before %d", due, next)
		}
		_ = put.Wait()
	})
}

func TestLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, maxRows).Draw(t, "max")
		l := limit{now: most, max: most}
		for _, good := range rapid.SliceOf(rapid.Bool()).Draw(t, "passed") {
			before := l.now
			if good {
				if got := l.grow(); got != l.now || got != min(most, 2*before) {
					t.Fatalf("%d grew to %d", before, got)
				}
			} else if l.halve(); l.now != max(1, before/2) {
				t.Fatalf("%d was halved to %d", before, l.now)
			}
		}
		for range 13 {
			l.grow()
		}
		if l.now != most {
			t.Fatalf("stays at %d of %d", l.now, most)
		}
	})
}
