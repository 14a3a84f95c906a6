package sink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall/message"
)

// closet is a Store and a Source with rows that may be deleted.
type closet struct {
	Store
	Source
	rows     int           // there are
	takes    time.Duration // for each row
	fails    error
	called   []time.Duration // when rows were deleted, since the beginning
	most     []int
	began    time.Time
	accepted time.Duration // when, since the beginning; 0: never
}

func (c *closet) State(context.Context) (message.Stream, error) {
	return message.Stream{First: 7}, nil
}

func (c *closet) Expire(ctx context.Context, held uint64, most int) (int, bool, error) {
	if held != 7 {
		return 0, false, errors.New("what does the stream hold?")
	}
	n := min(most, c.rows)
	wait(ctx, time.Duration(n)*c.takes)
	if c.fails != nil {
		return 0, false, c.fails
	}
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	c.rows -= n
	c.called, c.most = append(c.called, time.Since(c.began)), append(c.most, most)
	return n, n == most, nil
}

func (c *closet) Accepted(context.Context) (uint64, error) {
	if c.accepted > 0 && time.Since(c.began) >= c.accepted {
		return 30, c.fails
	}
	return 5, c.fails
}

// sweepFor runs a sink's sweeping, and tells what it said.
func (c *closet) sweepFor(keep, d time.Duration) (expired int, log string) {
	var said bytes.Buffer
	s := New(Options{Source: c, Store: c, Log: slog.New(slog.NewTextHandler(&said, nil)), Keep: keep, Observer: observer{expired: func(n int) { expired += n }}})
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	c.began = time.Now()
	s.sweep(ctx)
	return expired, said.String()
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &closet{rows: 100_000, takes: 10 * time.Microsecond}
		expired, log := c.sweepFor(time.Hour, 59*time.Second)
		if expired != 100_000 || strings.Count(log, "old rows were deleted") != 1 || !strings.Contains(log, "rows=100000") {
			t.Errorf("%d, %s", expired, log)
		}
		if end := c.called[len(c.called)-1]; end > 3*time.Second {
			t.Error("it took", end)
		}
		if most := slices.Max(c.most); most != sweepMost {
			t.Error(most, "at a time")
		}
	})
}

func TestSweepIsSlowWherePostgresIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &closet{rows: 20_000, takes: 4 * time.Millisecond}
		c.sweepFor(time.Hour, 59*time.Second)
		if c.rows == 0 || c.most[len(c.most)-1] != sweepLeast {
			t.Error(c.rows, c.most)
		}
		for i, at := range c.called[1:] {
			if took := time.Duration(c.most[i+1]) * c.takes; at-c.called[i] < 2*took {
				t.Errorf("%v after %v", at, c.called[i])
			}
		}
	})
}

func TestSweepComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &closet{}
		if expired, log := c.sweepFor(time.Minute, 10*time.Second); expired > 0 || log != "" || len(c.called) != 4 { // every 3 s
			t.Error(expired, log, c.called)
		}
		c = &closet{}
		if c.sweepFor(720*time.Hour, 150*time.Second); len(c.called) != 3 { // every minute
			t.Error(c.called)
		}
	})
}

func TestSweepSaysWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		right := &closet{fails: &message.SetupError{Reason: "no right"}}
		if _, log := right.sweepFor(time.Hour, time.Hour); strings.Count(log, "the messages table grows") != 1 {
			t.Error(log)
		}
		moment := &closet{fails: errors.New("a lock")}
		if _, log := moment.sweepFor(time.Hour, sweepPatience-time.Second); log != "" {
			t.Error(log)
		}
		if _, log := moment.sweepFor(time.Hour, time.Hour); strings.Count(log, "the messages table grows") != 1 {
			t.Error(log)
		}
	})
}

// A pause for messages that fail alike ends when somebody says that it is the
// data, one for anything else when its time has come.
func TestPauseEndsWhenAccepted(t *testing.T) {
	alike := &message.SetupError{Reason: "20 alike", Alike: true}
	for name, x := range map[string]struct {
		err      error
		accepted time.Duration // when; 0: never
		fails    error
		want     time.Duration
	}{
		"accepted":        {alike, 2500 * time.Millisecond, nil, 3 * time.Second},
		"never":           {alike, 0, nil, pause},
		"Postgres away":   {alike, 0, errors.New("away"), pause},
		"another setup":   {&message.SetupError{Reason: "no right"}, 2500 * time.Millisecond, nil, pause},
		"the last moment": {alike, pause - time.Millisecond, nil, pause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &closet{fails: x.fails, accepted: x.accepted, began: time.Now()}
				s := New(Options{Source: c, Store: c, Log: slog.New(slog.DiscardHandler)})
				s.rest(t.Context(), pause, x.err)
				if took := time.Since(c.began); took != x.want {
					t.Errorf("%v, want %v", took, x.want)
				}
			})
		})
	}
}
