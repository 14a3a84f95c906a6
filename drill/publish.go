package drill

import (
	"context"
	"errors"
	"math/rand/v2"
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
	Door       Door
	Publishers int
	Compose    func(n int) Message // the n-th message of this way, from 0
}

// Load is what is offered: messages at a rate, by an absolute schedule. A
// message is due at its time whether or not a publisher is free, so that a
// stall is measured by all messages that it held up, not by one for each
// publisher.
type Load struct {
	Messages int           // in all; the ways take turns
	Rate     float64       // messages a second, in all
	Patience time.Duration // how long a message is repeated before its outcome is left unknown
	Ways     []Way
}

// Run publishes everything and enters it into the ledger. It returns ctx's
// cause if ctx ended first; what was under way then is left unknown.
func (l Load) Run(ctx context.Context, ledger *Ledger) error {
	start := time.Now()
	var g errgroup.Group
	for w, way := range l.Ways {
		var next atomic.Int64
		for range way.Publishers {
			g.Go(func() error {
				for ctx.Err() == nil {
					n := int(next.Add(1)) - 1
					at := n*len(l.Ways) + w // place in the common schedule
					if at >= l.Messages {
						return nil
					}
					due := start.Add(time.Duration(float64(at) / l.Rate * float64(time.Second)))
					pause(ctx, time.Until(due))
					if ctx.Err() != nil {
						break
					}
					m := way.Compose(n)
					ref := ledger.Offer(m, due)
					ledger.Tell(ref, Deliver(ctx, way.Door, m, l.Patience))
				}
				return context.Cause(ctx)
			})
		}
	}
	return g.Wait()
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
