package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"landfall/cluster"
	"landfall/message"
)

// A stream that is all bad pauses, and goes on when somebody says that it is
// the data: up to the sequence said, and with the good ones behind it.
func TestAcceptedMessagesAreSetAside(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(refuseBad + `; CREATE TABLE own (id int CHECK (id > 0))`)
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint("own=", own), func(t *testing.T) {
			t.Parallel()
			d := d.within(t)
			var s *Stream
			var cur message.Cursor
			if !own {
				s, cur = d.stream()
			} else {
				s, cur = d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append})
			}
			messages := func(cur message.Cursor, p string) []message.Message {
				if !own {
					return pattern(cur, p)
				}
				var bodies []string
				for _, what := range p {
					bodies = append(bodies, map[rune]string{'x': `{"id": -1}`, 'y': `no json`, 'o': `{"id": 1}`}[what])
				}
				return documents(cur, bodies...)
			}
			bad := string(slices.Repeat([]byte("x"), 30))
			write := func(ms []message.Message) (message.Outcome, error) { return s.Write(t.Context(), cur, batchOf(s, ms)) }
			_, err := write(messages(cur, bad+"ooo"))
			wantSetup(t, err, "20 messages in a row", "app dead-letters accept "+s.name)
			if set := (*message.SetupError)(nil); !errors.As(err, &set) || !set.Alike {
				t.Errorf("%#v", err)
			}
			if got := len(d.deadLetters(cur.StreamID)); got > 0 {
				t.Errorf("%d are set aside", got)
			}

			if err := s.Accept(t.Context(), s.name, cur.Incarnation, 5); err != nil {
				t.Fatal(err)
			}
			_, err = write(messages(cur, bad+"ooo")) // 25 are left
			wantSetup(t, err, "the last at sequence 25")
			if err := s.Accept(t.Context(), s.name, "", 30); err != nil {
				t.Fatal(err)
			}
			if through, err := s.Accepted(t.Context()); through != 30 || err != nil {
				t.Error(through, err)
			}
			out, err := write(messages(cur, bad+"ooo"))
			if err != nil || out.DeadLetters != 30 || out.Rows != 3 {
				t.Fatalf("%+v, %v", out, err)
			}
			cur = out.Cursor
			_, err = write(messages(cur, bad)) // what comes later is not meant
			wantSetup(t, err, "the last at sequence 53")
		})
	}
}

func TestAcceptOfAnUnknownStream(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	for name, incarnation := range map[string]string{"T": "", "S": "00000000-0000-0000-0000-000000000000"} {
		if err := s.Accept(t.Context(), name, incarnation, 1); !errors.Is(err, ErrUnknownStream) {
			t.Errorf("%s %s: %v", name, incarnation, err)
		}
	}
	if through, err := d.node("n1").Stream("T").Accepted(t.Context()); through != 0 || err != nil {
		t.Error(through, err)
	}
	// The latest incarnation is meant.
	later := d.enter(s)
	if err := s.Accept(t.Context(), "S", "", 7); err != nil {
		t.Fatal(err)
	}
	if got := one[int64](d, `SELECT coalesce(sum(id * accept_bad_through), 0)::bigint FROM landfall.streams`); got != later.StreamID*7 {
		t.Errorf("%d, of %d and %d", got, cur.StreamID, later.StreamID)
	}
}

// BenchmarkAllBad is how fast a stream of nothing but bad messages becomes
// dead letters, once that is accepted.
func BenchmarkAllBad(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprint("own=", own), func(b *testing.B) {
			d := newDatabase(b)
			d.exec(refuseBad + `; CREATE TABLE own (id int CHECK (id > 0))`)
			s, cur := d.stream()
			bodies := slices.Repeat([]string{`{"id": -1}`}, 5000)
			if own {
				s, cur = d.ownStream(&cluster.Table{Schema: "public", Name: "own", Mode: cluster.Append})
			}
			if err := s.Accept(b.Context(), s.name, "", 1<<40); err != nil {
				b.Fatal(err)
			}
			began := time.Now()
			for b.Loop() {
				ms := documents(cur, bodies...)
				if !own {
					ms = run(cur, len(bodies), func(_ int, m *message.Message) { badBody(m) })
				}
				cur = d.write(s, cur, ms).Cursor
			}
			b.ReportMetric(float64(cur.Seq)/time.Since(began).Seconds(), "rows/s")
		})
	}
}
