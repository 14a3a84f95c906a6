package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"landfall/message"
)

// under is a message with the id, subject "s" and the body.
func under(seq uint64, id, body string) message.Message {
	return message.Message{Seq: seq, Subject: "s", Data: []byte(body), Time: moment(seq),
		Header: map[string][]string{message.IDHeader: {id}}}
}

func TestRepeatedIDs(t *testing.T) {
	t.Parallel()
	onSubject := func(subject string, m message.Message) message.Message { m.Subject = subject; return m }
	bad := func(m message.Message) message.Message { m.Header["X"] = []string{"\x00"}; return m }
	batch := func(ms ...message.Message) []message.Message { return ms }
	shared := newDatabase(t)
	for name, c := range map[string]struct {
		batches    [][]message.Message
		duplicates map[uint64]uint64 // sequence of the repeat: of the first
		dead       map[uint64]string // sequence: part of the reason
	}{
		"in a later batch": {
			batches:    [][]message.Message{batch(under(1, "a", "x"), under(2, "b", "y")), batch(under(3, "c", "z"), under(4, "a", "x"))},
			duplicates: map[uint64]uint64{4: 1},
		},
		"alone in a batch": {
			batches:    [][]message.Message{batch(under(1, "a", "x")), batch(under(2, "a", "x")), batch(under(3, "a", "x"))},
			duplicates: map[uint64]uint64{2: 1, 3: 1},
		},
		"in the same batch": {
			batches:    [][]message.Message{batch(under(1, "a", "x"), under(2, "a", "x"), under(3, "b", "y"), under(4, "a", "x"))},
			duplicates: map[uint64]uint64{2: 1, 4: 1},
		},
		"nothing but repeats": {
			batches: [][]message.Message{batch(under(1, "a", "x"), under(2, "b", "y")),
				batch(under(3, "b", "y"), under(4, "a", "x"), under(5, "b", "y"))},
			duplicates: map[uint64]uint64{3: 2, 4: 1, 5: 2},
		},
		"with another body": {
			batches: [][]message.Message{batch(under(1, "a", "x"), under(2, "b", "x")), batch(under(3, "c", "z"), under(4, "b", "X"))},
			dead:    map[uint64]string{4: `"b" already names another message: sequence 2`},
		},
		"with another body in the same batch": {
			batches:    [][]message.Message{batch(under(1, "a", "x"), under(2, "a", "y"), under(3, "a", "x"))},
			duplicates: map[uint64]uint64{3: 1},
			dead:       map[uint64]string{2: "sequence 1"},
		},
		"with another body, twice": {
			batches:    [][]message.Message{batch(under(1, "a", "x")), batch(under(2, "a", "y")), batch(under(3, "a", "y"), under(4, "a", "z"))},
			duplicates: map[uint64]uint64{3: 2},
			dead:       map[uint64]string{2: "sequence 1", 4: "sequence 1"},
		},
		"with another subject": {
			batches: [][]message.Message{batch(under(1, "a", "x")), batch(onSubject("t", under(2, "a", "x")))},
			dead:    map[uint64]string{2: "sequence 1"},
		},
		"bytes": {
			batches: [][]message.Message{batch(under(1, "a", "\x00x"), under(2, "b", "\xff")),
				batch(under(3, "a", "\x00x"), under(4, "b", "\xfe"), under(5, "b", "\xff"), under(6, "a", "x"))},
			duplicates: map[uint64]uint64{3: 1, 5: 2},
			dead:       map[uint64]string{4: "sequence 2", 6: "sequence 1"},
		},
		"empty bodies": {
			batches: [][]message.Message{batch(under(1, "a", ""), under(2, "b", "x")),
				batch(under(3, "a", ""), under(4, "b", ""), under(5, "a", " "))},
			duplicates: map[uint64]uint64{3: 1},
			dead:       map[uint64]string{4: "sequence 2", 5: "sequence 1"},
		},
		"of a dead letter": {
			batches: [][]message.Message{batch(bad(under(1, "a", "x")), under(2, "b", "y")),
				batch(bad(under(3, "a", "x"))), batch(bad(under(4, "a", "z")), under(5, "c", "x"))},
			duplicates: map[uint64]uint64{3: 1},
			dead:       map[uint64]string{1: "", 4: ""},
		},
		"of a dead letter in the same batch": {
			batches:    [][]message.Message{batch(bad(under(1, "a", "x")), bad(under(2, "a", "x")), under(3, "b", "y"))},
			duplicates: map[uint64]uint64{2: 1},
			dead:       map[uint64]string{1: ""},
		},
		"among bad messages": {
			batches: [][]message.Message{batch(under(1, "a", "x")),
				batch(bad(under(2, "b", "y")), under(3, "a", "x"), under(4, "c", "z"), bad(under(5, "a", "x")), under(6, "c", "z"))},
			duplicates: map[uint64]uint64{3: 1, 6: 4},
			dead:       map[uint64]string{2: "", 5: ""},
		},
		"without an id nothing is a repeat": {
			batches: [][]message.Message{batch(under(1, "", "x"), under(2, "", "x")), batch(under(3, "", "x"), bad(under(4, "", "x")), bad(under(5, "", "x")))},
			dead:    map[uint64]string{4: "", 5: ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := shared.within(t)
			s, cur := d.stream()
			sent := map[uint64]message.Message{}
			for _, ms := range c.batches {
				cur = d.write(s, cur, ms).Cursor
				for _, m := range ms {
					sent[m.Seq] = m
				}
			}
			w := d.world(cur.StreamID)
			if len(c.duplicates)+len(w.Duplicates) > 0 {
				if diff := cmp.Diff(c.duplicates, w.Duplicates); diff != "" {
					t.Error(diff)
				}
			}
			for seq, l := range w.Dead {
				reason, ok := c.dead[seq]
				if !ok || !strings.Contains(l.Reason, reason) {
					t.Errorf("dead letter %d: %q, want %q", seq, l.Reason, reason)
				}
				if reason != "" && l.SQLState != "23505" {
					t.Errorf("dead letter %d: SQLSTATE %s", seq, l.SQLState)
				}
				if diff := cmp.Diff(sent[seq], l.Message); diff != "" {
					t.Error(diff)
				}
			}
			if len(w.Dead) != len(c.dead) {
				t.Errorf("dead letters %v", sequences(w.Dead))
			}
			for seq, m := range w.Rows {
				want := asStored(sent[seq])
				if want.ID() == "" { // an empty id is none
					want.Header = nil
				}
				if diff := cmp.Diff(want, m); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// An id belongs to its stream: other streams, and other incarnations, may use
// it for something else.
func TestIDsBelongToAStream(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	node := d.node("n1")
	a, b := node.Stream("A"), node.Stream("B")
	for range 2 {
		for _, s := range []*Stream{a, b} {
			cur := d.enter(s)
			if out := d.write(s, cur, []message.Message{under(1, "a", "x"), under(2, "b", fmt.Sprint(cur.StreamID))}); out.Rows != 2 {
				t.Errorf("%+v", out)
			}
		}
	}
}

// A careless producer is not a broken set-up, however many ids it reuses.
func TestReusedIDsAreNoStreak(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	ms := []message.Message{under(1, "a", "x")}
	for seq := uint64(2); seq <= 3*streakLimit; seq++ {
		ms = append(ms, under(seq, "a", fmt.Sprint(seq)))
	}
	if out := d.write(s, cur, ms); out.Rows != 1 || out.DeadLetters != len(ms)-1 {
		t.Errorf("%+v", out)
	}
	d.world(cur.StreamID)
}
