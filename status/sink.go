package status

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"landfall/message"
	"landfall/words"
)

// commitsKept is of how many commits the slowest hundredth is told, and
// commitsFor for how long each counts.
const (
	commitsKept = 256
	commitsFor  = 10 * time.Second
)

// Sink is what the node knows of one stream's sink here. It observes the sink,
// and is asked by whoever reports.
type Sink struct {
	stream  string
	node    string
	diary   *diary
	metrics *Metrics
	tell    func() // the others, at once

	mu      sync.Mutex
	active  bool
	cursor  message.Cursor
	known   bool
	moved   time.Time // when anything was last stored, or there was nothing to store
	trouble SinkState // SinkOutage or SinkIsPaused; "": none
	since   time.Time // of the trouble, or of being active
	reason  string
	advice  string
	counts  *message.Counts
	commits []commit // the latest last
}

type commit struct {
	at   time.Time
	took time.Duration
}

func newSink(stream, node string, d *diary, m *Metrics, tell func()) *Sink {
	return &Sink{stream: stream, node: node, diary: d, metrics: m, tell: tell}
}

// note writes an event of this sink's down, for all nodes.
func (s *Sink) note(e Event) {
	e.Stream, e.Node, e.told = s.stream, s.node, true
	s.diary.note(e)
}

// Passive is told while another node stores the stream.
func (s *Sink) Passive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active && s.trouble == "" {
		return
	}
	s.active, s.known, s.trouble, s.counts, s.commits = false, false, "", nil, nil
}

// lead makes it active, if it is not.
func (s *Sink) lead() {
	if !s.active {
		s.active, s.since, s.moved = true, time.Now(), time.Now()
	}
}

// Active is told when a session has begun behind the cursor.
func (s *Sink) Active(cur message.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lead()
	if !s.known {
		s.tell()
	}
	s.cursor, s.known = cur, true
}

// Committed is told of a batch that is in Postgres.
func (s *Sink) Committed(b *message.Batch, out message.Outcome, took time.Duration) {
	now := time.Now()
	s.metrics.committed(s.stream, b, out, took, now)
	s.mu.Lock()
	s.lead()
	s.cursor, s.known, s.moved = out.Cursor, true, now
	if len(s.commits) >= commitsKept {
		s.commits = slices.Delete(s.commits, 0, commitsKept/2)
	}
	s.commits = append(s.commits, commit{now, took})
	if s.counts != nil {
		s.counts.DeadLetters += int64(out.DeadLetters)
		s.counts.Duplicates += int64(out.Duplicates)
	}
	s.mu.Unlock()
	if out.Careful {
		s.note(Event{Kind: CarefulPath, Took: took.Seconds(), Count: 1,
			Text: fmt.Sprintf("a batch of %s took the careful path", words.Count(len(b.Messages), "message"))})
	}
	if out.DeadLetters > 0 {
		s.note(Event{Kind: DeadLettered, Count: out.DeadLetters, Text: fmt.Sprintf("messages became dead letters, up to %d", out.Cursor.Seq)})
	}
	if out.Duplicates > 0 {
		s.note(Event{Kind: Repeated, Count: out.Duplicates, Text: "messages were known already by their ids"})
	}
}

// Fine is told when whatever trouble there was is over.
func (s *Sink) Fine() {
	s.mu.Lock()
	over, since := s.trouble, s.since
	if over != "" {
		s.trouble, s.since, s.moved = "", time.Now(), time.Now()
		s.reason, s.advice = "", ""
	}
	s.mu.Unlock()
	if over != "" {
		s.tell()
		s.note(Event{Kind: SinkStores, Text: "stored again after it was " + string(over), Took: time.Since(since).Seconds()})
	}
}

// Failed is told of trouble after which it is tried again.
func (s *Sink) Failed(err error) { s.turn(SinkOutage, SinkFailing, words.Plain(err), "") }

// Paused is told when a person has to mend the set-up.
func (s *Sink) Paused(err *message.SetupError) {
	reason := err.Reason
	if err.Err != nil {
		reason += ": " + words.Plain(err.Err)
	}
	s.turn(SinkIsPaused, SinkPaused, reason, err.Advice)
}

// turn notes the beginning of trouble, or that it is another one now.
func (s *Sink) turn(state SinkState, kind Kind, reason, advice string) {
	reason, advice = oneLine(reason), oneLine(advice)
	s.mu.Lock()
	s.lead()
	news := s.trouble != state
	if s.trouble == "" {
		s.since = time.Now()
	}
	s.trouble, s.reason, s.advice = state, reason, advice
	s.mu.Unlock()
	if news {
		s.tell()
		s.note(Event{Kind: kind, Text: string(kind) + ": " + reason})
	}
}

// HandingOver is told when another node shall store.
func (s *Sink) HandingOver(reason string) {
	s.note(Event{Kind: HandingOver, Text: "handing over: " + reason})
}

// Gap is told of messages that are gone, and recorded so.
func (s *Sink) Gap(from, to uint64) {
	s.mu.Lock()
	if s.counts != nil {
		s.counts.Gaps += int64(to - from + 1)
		s.counts.LastGap = time.Now()
	}
	s.mu.Unlock()
	s.note(Event{Kind: GapRecorded, Text: fmt.Sprintf("messages %d to %d are gone from every node", from, to)})
}

// Expired is told of rows that were deleted because they were older than keep.
func (s *Sink) Expired(rows int) { s.metrics.Expired(s.stream, rows) }

// Counted takes in what Postgres has, if the sink is at work.
func (s *Sink) Counted(c message.Counts) (taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active {
		s.counts = &c
	}
	return s.active
}

// Waiting takes in how many dead letters wait for somebody, if the rest was
// counted before.
func (s *Sink) Waiting(n int64) (taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts != nil {
		s.counts.DeadLetters = n
	}
	return s.counts != nil
}

// sunk is what the node tells of the sink, if it is the one to store. last is
// the stream's last sequence, as far as this node has it.
func (s *Sink) sunk(now time.Time, last uint64) *Sunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known && last <= s.cursor.Seq {
		s.moved = now // there is nothing to store
	}
	if !s.active {
		return &Sunk{State: SinkStarting}
	}
	t := &Sunk{
		State: SinkStoring, For: now.Sub(s.since).Seconds(), Reason: s.reason, Advice: s.advice,
		Known: s.known, Cursor: s.cursor.Seq, Incarnation: s.cursor.Incarnation, Still: now.Sub(s.moved).Seconds(),
	}
	switch {
	case s.trouble != "":
		t.State = s.trouble
	case !s.known:
		t.State = SinkStarting
	}
	if s.counts != nil {
		counts := *s.counts
		t.Counts = &counts
	}
	var took []time.Duration
	for _, c := range s.commits {
		if now.Sub(c.at) < commitsFor {
			took = append(took, c.took)
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		t.CommitP99 = took[len(took)*99/100].Seconds()
	}
	return t
}
