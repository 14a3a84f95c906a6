package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"landfall/message"
)

// trimmed is what Trim hands on.
type trimmed struct{ cursor, expired uint64 }

func (d *database) trim(s *Stream, cur message.Cursor, window time.Duration) (got trimmed) {
	d.Helper()
	calls := 0
	err := s.Trim(d.Context(), cur, window, func(_ context.Context, cursor, expired uint64) error {
		got, calls = trimmed{cursor, expired}, calls+1
		return nil
	})
	if err != nil || calls != 1 {
		d.Fatalf("%d calls: %v", calls, err)
	}
	if got.expired > got.cursor {
		d.Errorf("%d has expired, the cursor is at %d", got.expired, got.cursor)
	}
	return got
}

// age makes all marks older.
func (d *database) age(by string) {
	d.Helper()
	d.exec(`UPDATE landfall.marks SET at = at - $1::text::interval`, by)
}

func TestTrimKeepsTheWindow(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	const window = time.Hour
	step := func(wants trimmed) {
		t.Helper()
		if got := d.trim(s, cur, window); got != wants {
			t.Errorf("%+v, want %+v", got, wants)
		}
	}
	step(trimmed{0, 0})
	cur = d.write(s, cur, run(cur, 10)).Cursor
	step(trimmed{10, 0}) // stored only just now
	d.age("40 minutes")
	cur = d.write(s, cur, run(cur, 10)).Cursor
	step(trimmed{20, 0})
	d.age("25 minutes")
	step(trimmed{20, 10}) // the first ten for 65 minutes
	step(trimmed{20, 10})
	d.age("40 minutes")
	cur = d.write(s, cur, run(cur, 5)).Cursor
	step(trimmed{25, 20})
	if n := one[int64](d, `SELECT count(*) FROM landfall.marks`); n > 2 {
		t.Errorf("%d marks are kept", n)
	}
	if got := d.trim(s, cur, 0); got != (trimmed{25, 25}) {
		t.Errorf("without a window: %+v", got)
	}
}

// An idle stream leaves no more marks behind, however often it is looked at.
func TestTrimOfAnIdleStream(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	cur = d.write(s, cur, run(cur, 10)).Cursor
	for range 5 {
		d.trim(s, cur, time.Hour)
	}
	if n := one[int64](d, `SELECT count(*) FROM landfall.marks`); n != 1 {
		t.Errorf("%d marks", n)
	}
}

// After a restore the cursor is lower than marks may say.
func TestTrimNeverBeyondTheCursor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	cur = d.write(s, cur, run(cur, 10)).Cursor
	d.trim(s, cur, time.Hour)
	d.exec(`INSERT INTO landfall.marks SELECT stream_id, 7, at - interval '1 second' FROM landfall.marks;
		UPDATE landfall.streams SET last_seq = 8`)
	d.age("2 hours")
	if got := d.trim(s, cur, time.Hour); got != (trimmed{8, 7}) {
		t.Errorf("%+v", got)
	}
	// Nor do other streams' marks count.
	other := d.enter(s)
	if got := d.trim(s, other, 0); got != (trimmed{0, 0}) {
		t.Errorf("%+v", got)
	}
}

// While messages are removed from the stream nobody moves the cursor back.
func TestTrimHoldsTheCursor(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	cur = d.write(s, cur, run(cur, 10)).Cursor
	err := s.Trim(t.Context(), cur, 0, func(_ context.Context, cursor, _ uint64) error {
		holder := one[int32](d, `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
			AND application_name LIKE 'landfall %' AND state = 'idle in transaction'`)
		ended, result := started(t, func() error {
			_, err := d.pool.Exec(t.Context(), `UPDATE landfall.streams SET last_seq = 1`)
			return err
		})
		if !d.blockedBy(holder, ended) {
			t.Error("the cursor was moved back meanwhile")
			return result()
		}
		if got := one[int64](d, `SELECT last_seq FROM landfall.streams`); uint64(got) != cursor {
			t.Errorf("the cursor is at %d", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	eventually(t, "the cursor moves once Trim is done", func() bool { return one[int64](d, `SELECT last_seq FROM landfall.streams`) == 1 })
}

// A purge that failed is tried again with the same numbers.
func TestTrimFails(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	cur = d.write(s, cur, run(cur, 10)).Cursor
	d.trim(s, cur, time.Hour)
	d.age("2 hours")
	boom := errors.New("boom")
	for range 2 {
		err := s.Trim(t.Context(), cur, time.Hour, func(_ context.Context, cursor, expired uint64) error {
			if got := (trimmed{cursor, expired}); got != (trimmed{10, 10}) {
				t.Errorf("%+v", got)
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Error(err)
		}
	}
	d.write(s, cur, run(cur, 1))
}
