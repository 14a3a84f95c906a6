package status

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kind is what an event is about.
type Kind string

// The kinds of events. Those of a sink are told by the node whose it is; the
// others every node notices for itself.
const (
	NodeStarted   Kind = "node started"
	NodeLost      Kind = "node lost"
	NodeFound     Kind = "node found"
	LeaderElected Kind = "leader elected"
	PostgresLost  Kind = "Postgres lost"
	PostgresFound Kind = "Postgres found"
	SinkMoved     Kind = "sink moved"
	SinkFailing   Kind = "not storing"
	SinkStores    Kind = "storing again"
	SinkPaused    Kind = "paused"
	HandingOver   Kind = "handing over"
	CarefulPath   Kind = "careful path"
	DeadLettered  Kind = "dead letters"
	Repeated      Kind = "duplicates"
	GapRecorded   Kind = "gap"
)

const (
	// eventsKept is how many a node shows, eventsTold how many of its own it
	// tells the others.
	eventsKept = 200
	eventsTold = 50

	// together is for how long further events of a kind that comes with every
	// other batch count as one that goes on.
	together = 30 * time.Second
)

// Event is something that happened.
type Event struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Kind   Kind      `json:"kind"`
	Node   string    `json:"node,omitempty"`   // whom it is about
	Stream string    `json:"stream,omitempty"` // and which stream
	Text   string    `json:"text"`
	Took   float64   `json:"took_seconds,omitempty"` // what ended with it, or what was waited for
	Count  int       `json:"count,omitempty"`        // messages or batches, of kinds that are counted together

	told bool // to the other nodes
}

// diary is what one node has noticed, the latest last.
type diary struct {
	run string // tells this process from others of its node

	mu     sync.Mutex
	events []Event
	n      int // how many there ever were
}

func newDiary(node string, started time.Time) *diary {
	return &diary{run: fmt.Sprintf("%s-%x", node, started.UnixMilli())}
}

// note takes an event in. What comes with every other batch is counted
// together.
func (d *diary) note(e Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC()
	if e.Count > 0 {
		for i := len(d.events) - 1; i >= 0; i-- {
			last := &d.events[i]
			if e.Time.Sub(last.Time) > together {
				break
			}
			if last.Kind == e.Kind && last.Stream == e.Stream {
				last.Count += e.Count
				last.Time, last.Text = e.Time, e.Text
				moved := *last
				d.events = append(slices.Delete(d.events, i, i+1), moved)
				return
			}
		}
	}
	d.n++
	e.ID = fmt.Sprintf("%s-%d", d.run, d.n)
	e.Text = oneLine(e.Text)
	d.events = append(d.events, e)
	if over := len(d.events) - eventsKept; over > 0 {
		d.events = slices.Delete(d.events, 0, over)
	}
}

// all are those kept, the latest last.
func (d *diary) all() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

// tell are the latest of those that the others are told.
func (d *diary) tell() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	var told []Event
	for i := len(d.events) - 1; i >= 0 && len(told) < eventsTold; i-- {
		if d.events[i].told {
			told = append(told, d.events[i])
		}
	}
	slices.Reverse(told)
	return told
}
