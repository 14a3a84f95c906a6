package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Message is one message to publish. Every message of a run has an id and a
// body of its own.
type Message struct {
	ID      string
	Subject string
	Body    []byte

	// Bad tells that the drill made it so that Postgres refuses it: it is to
	// become one dead letter, and no row.
	Bad bool
}

// Receipt is an acknowledgement.
type Receipt struct {
	Stream    string
	Seq       uint64
	Duplicate bool
}

// Door is one way into the cluster. Try makes one attempt; attempt counts from
// zero for each message, so that a door can move on to the next node. An error
// that is a *Refusal is definite: this attempt stored nothing, and no repeat
// will. After any other error the message may be stored or not, and is
// repeated under the same id.
type Door interface {
	Try(ctx context.Context, attempt int, m Message) (Receipt, error)
}

// Refusal is a definite no.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return "refused: " + r.Reason }

// Way is a door and how many publishers wait at it at once.
type Way struct {
	Name       string // begins the names of its publishers in the ledger; "": its number
	Door       Door
	Publishers int
	Compose    func(n int) Message // the n-th message of this way, from 0
}

// Load is what is offered: messages at a rate, by an absolute schedule. A
// message is due at its time whether or not a publisher is free, so that a
// stall is measured by all messages that it held up, not by one for each
// publisher.
type Load struct {
	Messages int           // in all; the ways take turns. 0: no end
	Rate     float64       // messages a second, in all
	Patience time.Duration // how long a message is repeated before its outcome is left unknown
	Ways     []Way

	Gate *Gate           // holds the publishers, and with them the schedule; nil: nobody does
	Stop <-chan struct{} // closed: nothing new is offered, and what is under way is settled; nil: never
}

// Run publishes everything and enters it into the ledger, each publisher into
// a book of its own. It returns ctx's cause if ctx ended first; what was under
// way then is left unknown. That Stop ended it is no error.
func (l Load) Run(ctx context.Context, ledger *Ledger) error {
	offering, cancel := context.WithCancel(ctx)
	var stopping sync.WaitGroup
	defer stopping.Wait()
	defer cancel()
	stopping.Go(func() {
		select {
		case <-l.Stop:
			cancel()
		case <-offering.Done():
		}
	})
	var g errgroup.Group
	number := ledger.load()
	t := timetable{start: time.Now(), rate: l.Rate, gate: l.Gate, shut: l.Gate.Shut()}
	for w, way := range l.Ways {
		var next atomic.Int64
		if way.Name == "" {
			way.Name = strconv.Itoa(w)
		}
		for p := range way.Publishers {
			book, err := ledger.Book(fmt.Sprintf("load%d-%s-%d", number, way.Name, p))
			if err != nil {
				cancel()
				return errors.Join(err, g.Wait())
			}
			g.Go(func() error {
				defer book.Close() //nolint:errcheck // the ledger keeps it
				return l.publish(ctx, offering, way, book, t, func() (n, at int, more bool) {
					n = int(next.Add(1)) - 1
					at = n*len(l.Ways) + w
					return n, at, l.Messages == 0 || at < l.Messages
				})
			})
		}
	}
	return g.Wait()
}

// publish is one publisher. next gives it the number of its way's next message,
// and that message's place in the common schedule.
func (l Load) publish(ctx, offering context.Context, way Way, book *Book, t timetable, next func() (n, at int, more bool)) error {
	for offering.Err() == nil {
		n, at, more := next()
		if !more {
			return nil
		}
		due, leave, err := t.await(offering, at)
		if err != nil {
			break
		}
		m := way.Compose(n)
		ref := book.Offer(m, due)
		book.Tell(ref, Deliver(ctx, way.Door, m, l.Patience))
		leave()
	}
	return context.Cause(ctx)
}

// timetable tells when messages are due. It stands still while the gate is shut.
type timetable struct {
	start time.Time
	rate  float64 // messages a second
	gate  *Gate
	shut  time.Duration // for how long the gate had been shut at the start
}

func (t timetable) due(at int) time.Time {
	return t.start.Add(time.Duration(float64(at)/t.rate*float64(time.Second)) + t.gate.Shut() - t.shut)
}

// await waits until a message is due and goes through the gate.
func (t timetable) await(ctx context.Context, at int) (due time.Time, leave func(), err error) {
	for {
		pause(ctx, time.Until(t.due(at)))
		if leave, err = t.gate.Pass(ctx); err != nil {
			return due, nil, err
		}
		// The gate may have been shut meanwhile, and with it the schedule.
		if due = t.due(at); time.Until(due) <= 0 {
			return due, leave, nil
		}
		leave()
	}
}

// Deliver repeats a message under its id until it knows what became of it, or
// patience or ctx ends. Refused is told only if no attempt before was in
// doubt: an earlier one may have been stored after all.
func Deliver(ctx context.Context, door Door, m Message, patience time.Duration) Told {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	inDoubt := false
	for attempt := 0; ctx.Err() == nil; attempt++ {
		receipt, err := door.Try(ctx, attempt, m)
		if err == nil {
			return Told{Outcome: Acked, At: time.Now(), Stream: receipt.Stream, Seq: receipt.Seq, Duplicate: receipt.Duplicate}
		}
		if no := (*Refusal)(nil); errors.As(err, &no) {
			if inDoubt {
				break
			}
			return Told{Outcome: Refused, At: time.Now()}
		}
		inDoubt = true
		pause(ctx, retryPause(attempt))
	}
	return Told{Outcome: Unknown, At: time.Now()}
}

// retryPause is the wait after an attempt: none after the first, since another
// node may answer at once; then growing to a quarter of a second, jittered so
// that publishers do not come back in step.
func retryPause(attempt int) time.Duration {
	if attempt == 0 {
		return 0
	}
	d := min(10*time.Millisecond<<min(attempt, 5), 250*time.Millisecond)
	return d/2 + rand.N(d/2)
}
