package sink

import (
	"fmt"
	"time"

	"landfall/message"
)

// key tells the messages of a world from one another: no two were stored by
// the stream in the same microsecond.
type key int64

func keyOf(t time.Time) key { return key(t.UnixMicro()) }

// published is a message that the stream took.
type published struct {
	message.Message
	sort sort
}

// sort is what Postgres has to say to a message.
type sort string

const (
	good    sort = "good"
	repeat  sort = "repeat"  // an earlier message once more, under its id, after the duplicate window
	reuse   sort = "reuse"   // another message under an earlier one's id
	bad     sort = "bad"     // a constraint on the table refuses it, while that is there
	garbled sort = "garbled" // nothing could ever make it a row
)

// draft is a message before the stream has it.
type draft struct {
	subject, id, body string
	sort              sort
}

// publish adds up to k messages, every other one with an id, and returns how
// many the stream took.
func (w *world) publish(k int) int { return w.publishSized(k, 0) }

// publishSized publishes messages with bodies of at least size bytes.
func (w *world) publishSized(k, size int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := 0
	for range k {
		d := draft{subject: "messages.test", body: w.body(), sort: good}
		if len(w.stream.ledger)%2 == 0 {
			d.id = "id of " + d.body
		}
		if d.body = padded(d.body, size); !w.offer(d) {
			break
		}
		taken++
	}
	w.deliver()
	return taken
}

func padded(body string, size int) string {
	return body + string(make([]byte, max(0, size-len(body))))
}

// body is one that no message has had; in do.
func (w *world) body() string { return fmt.Sprintf("body %d ", len(w.stream.ledger)) }

// publishSort publishes k messages of a sort that is not good. Those that
// go back to earlier messages choose among the last by from.
func (w *world) publishSort(s sort, k, from int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range k {
		d := draft{subject: "messages." + string(s), body: padded(w.body(), 100), sort: s}
		if s == repeat || s == reuse {
			earlier, ok := w.earlier(from + 3*i)
			if !ok {
				break
			}
			d.subject, d.id = earlier.Subject, earlier.ID()
			if s == repeat {
				d.body, d.sort = string(earlier.Data), repeated(earlier.sort)
			}
		}
		w.offer(d)
	}
	w.deliver()
}

// earlier is a message with an id, about back messages back, or somewhere
// among the last hundred if there are not so many; in do.
func (w *world) earlier(back int) (m published, ok bool) {
	last := w.stream.order[max(0, len(w.stream.order)-100):]
	for i := range last {
		if m = w.stream.ledger[last[len(last)-1-(back+i)%len(last)]]; m.ID() != "" {
			return m, true
		}
	}
	return m, false
}

// repeated is the sort of a message's repeat: the second use of a reused id
// is a reuse again.
func repeated(s sort) sort {
	if s == good {
		return repeat
	}
	return s
}

// offer publishes a message, if the stream takes it; in do.
func (w *world) offer(d draft) bool {
	s := &w.stream
	m := message.Message{Seq: s.last + 1, Subject: d.subject, Data: []byte(d.body)}
	if d.id != "" {
		m.Header = map[string][]string{message.IDHeader: {d.id}}
	}
	if s.electing {
		return false
	}
	if s.bytes+uint64(m.Size()) > uint64(s.maxBytes) {
		w.decided(refusedFull)
		return false
	}
	m.Time = s.tick()
	s.last++
	s.held = append(s.held, m)
	s.bytes += uint64(m.Size())
	k := keyOf(m.Time)
	s.ledger[k] = published{m, d.sort}
	s.order = append(s.order, k)
	return true
}

// tick gives each message a microsecond of its own.
func (s *stream) tick() time.Time {
	now := time.Now().Truncate(time.Microsecond)
	if !now.After(s.clock) {
		now = s.clock.Add(time.Microsecond)
	}
	s.clock = now
	return now
}

// beforeRepeats lists the sequences of the messages held that a repeat stands
// behind: it leaves no row by which what is common could be found.
func (w *world) beforeRepeats() (seqs []uint64) {
	w.do(func() {
		for i, m := range w.stream.held[:max(1, len(w.stream.held))-1] {
			if w.stream.ledger[keyOf(w.stream.held[i+1].Time)].sort == repeat {
				seqs = append(seqs, m.Seq)
			}
		}
	})
	return seqs
}
