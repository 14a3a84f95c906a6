package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// cutClients is how many clients are cut at once.
const cutClients = 20

const (
	cutPause    = 50 * time.Millisecond // between two messages of one client, at most
	cutPatience = 2 * time.Minute       // for a message that is repeated
	lateAtOnce  = 3                     // messages of one client that wait together until the window is over
	cutSubject  = "messages.cut"
)

func clientFaults() []Fault {
	cut := func(name, about string, longest time.Duration, publish func(*cutClient, context.Context) error) Fault {
		f := Fault{Name: name, Group: "client", About: about, Inflict: cutAll(publish)}
		if longest > 0 {
			f.Hold = [2]time.Duration{500 * time.Millisecond, longest}
		}
		return f
	}
	return []Fault{
		cut("cut-client", "20 HTTP clients are cut off before they read the answer, and repeat through another node at once", 3*time.Second,
			(*cutClient).overHTTP),
		cut("cut-client-late", "20 HTTP clients are cut off before they read the answer, and repeat through another node when JetStream has forgotten", 0,
			(*cutClient).late),
		cut("cut-nats-client", "20 NATS clients hang up right after they have published, and repeat through another node over HTTP", 3*time.Second,
			(*cutClient).overNATS),
		cut("cut-batch", "20 batches of lines are cut off in the middle, and repeated whole through another node", 0,
			(*cutClient).batch),
	}
}

// cutClient is one client that is cut off again and again, and keeps to the
// rule that makes it safe: it repeats under the same id until it is told.
type cutClient struct {
	s      *Site
	act    Act
	chance *mrand.Rand
	book   *Book
	cuts   *atomic.Int64 // of all clients of the fault: those that came to it
}

// cutAll lets all clients publish, each into a book of its own.
func cutAll(publish func(*cutClient, context.Context) error) func(context.Context, *Site, Act) error {
	return func(ctx context.Context, s *Site, a Act) error {
		var cuts atomic.Int64
		var g errgroup.Group
		for n := range cutClients {
			book, err := s.borrowBook(a.Fault.Name)
			if err != nil {
				return errors.Join(err, g.Wait())
			}
			c := &cutClient{s: s, act: a, book: book, cuts: &cuts, chance: mrand.New(mrand.NewPCG(a.Seed, uint64(n)+1))}
			g.Go(func() error {
				defer book.Close() //nolint:errcheck // the ledger keeps it
				return publish(c, ctx)
			})
		}
		err := g.Wait()
		s.Say("  %s: %d clients were cut off", a.Fault.Name, cuts.Load())
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// overHTTP publishes for the act's time, one message after the other.
func (c *cutClient) overHTTP(ctx context.Context) error {
	return c.again(ctx, func(first Addresses, m Message) error {
		c.cut(ctx, first.HTTP, c.request(first, m, "text/plain"), drawHangUp(c.chance))
		return nil
	})
}

// overNATS is the same through the client port.
func (c *cutClient) overNATS(ctx context.Context) error {
	return c.again(ctx, func(first Addresses, m Message) error {
		words, err := rawPub(c.s.Cluster.opts.Token, m)
		if err != nil {
			return err
		}
		h := drawHangUp(c.chance)
		h.greeted = true
		c.cut(ctx, first.Client, words, h)
		return nil
	})
}

// again publishes one message after the other for the act's time: send is cut
// off at one node, and the others are asked until one acknowledges.
func (c *cutClient) again(ctx context.Context, send func(first Addresses, m Message) error) error {
	for end := time.Now().Add(c.act.Hold); time.Now().Before(end) && ctx.Err() == nil; {
		if err := c.once(ctx, send); err != nil {
			return err
		}
		pause(ctx, time.Duration(c.chance.Int64N(int64(cutPause))))
	}
	return nil
}

func (c *cutClient) once(ctx context.Context, send func(first Addresses, m Message) error) error {
	leave, err := c.s.Gate.Pass(ctx)
	if err != nil {
		return err
	}
	defer leave()
	first, others := c.nodes()
	m := c.message()
	ref := c.book.Offer(m, time.Now())
	if err := send(first, m); err != nil {
		return err
	}
	door := c.s.Cluster.HTTPDoor(1, others...)
	defer door.Close()
	c.book.Tell(ref, Deliver(ctx, door, m, cutPatience))
	return nil
}

// late sends a few messages, and repeats them when JetStream has forgotten
// their ids: those that were stored get another number each, and Postgres has
// to see that it has them.
func (c *cutClient) late(ctx context.Context) error {
	leave, err := c.s.Gate.Pass(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var sent []Message
	var refs []Ref
	first, others := c.nodes()
	for range lateAtOnce {
		m := c.message()
		sent, refs = append(sent, m), append(refs, c.book.Offer(m, time.Now()))
		c.cut(ctx, first.HTTP, c.request(first, m, "text/plain"), drawHangUp(c.chance))
	}
	pause(ctx, c.s.DuplicateWindow+c.s.DuplicateWindow/4)
	door := c.s.Cluster.HTTPDoor(1, others...)
	defer door.Close()
	for i, m := range sent {
		c.book.Tell(refs[i], Deliver(ctx, door, m, cutPatience))
	}
	return nil
}

// nodes draws the node where the client is cut off; it repeats at the others.
func (c *cutClient) nodes() (first Addresses, others []string) {
	all := c.s.Cluster.Addresses()
	at := c.chance.IntN(len(all))
	for i, n := range all {
		if i != at {
			others = append(others, n.Name)
		}
	}
	return all[at], others
}

func (c *cutClient) message() Message {
	id := "cut-" + rand.Text()
	return Message{ID: id, Subject: cutSubject, Body: fmt.Appendf(nil, `{"id":%q,"note":"the client was cut off"}`, id)}
}

func (c *cutClient) request(to Addresses, m Message, contentType string) []byte {
	return rawRequest(to.HTTP, c.s.Cluster.opts.Token, m, contentType)
}

// cut sends words as somebody who does not hear the answer. That nobody
// listens there just now is no failure: then the first that hears of the
// message is the node where it is repeated.
func (c *cutClient) cut(ctx context.Context, address string, words []byte, h hangUp) {
	if sayAndHangUp(ctx, address, words, h) == nil {
		c.cuts.Add(1)
	}
}
