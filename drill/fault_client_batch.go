package drill

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// cutLines is how many lines a batch has that is cut off.
const cutLines = 20

// batch sends one batch, of which a part arrives, perhaps with half a line at
// its end, and repeats the whole of it.
func (c *cutClient) batch(ctx context.Context) error {
	leave, err := c.s.Gate.Pass(ctx)
	if err != nil {
		return err
	}
	defer leave()
	key := "cut-" + rand.Text()
	var body bytes.Buffer
	var refs []Ref
	for line := 1; line <= cutLines; line++ {
		m := Message{
			ID: fmt.Sprintf("%s/%d", key, line), Subject: cutSubject,
			Body: fmt.Appendf(nil, `{"batch":%q,"line":%d}`, key, line),
		}
		refs = append(refs, c.book.Offer(m, time.Now()))
		body.Write(append(m.Body, '\n'))
	}
	first, others := c.nodes()
	h := drawHangUp(c.chance)
	h.part = c.chance.Float64()
	c.cut(ctx, first.HTTP, c.request(first, Message{ID: key, Subject: cutSubject, Body: body.Bytes()}, ndjson), h)
	told := c.deliverBatch(ctx, key, body.Bytes(), others)
	for _, ref := range refs {
		c.book.Tell(ref, told)
	}
	return nil
}

// deliverBatch repeats a batch until all of its lines are acknowledged.
func (c *cutClient) deliverBatch(ctx context.Context, key string, body []byte, nodes []string) Told {
	ctx, cancel := context.WithTimeout(ctx, cutPatience)
	defer cancel()
	door := c.s.Cluster.HTTPDoor(1, nodes...)
	defer door.Close()
	for attempt := 0; ctx.Err() == nil; attempt++ {
		duplicate, err := door.tryBatch(ctx, cutSubject, key, body, cutLines)
		if err == nil {
			return Told{Outcome: Acked, At: time.Now(), Stream: Stream, Duplicate: duplicate}
		}
		if no := (*Refusal)(nil); errors.As(err, &no) {
			// Every line of it is as good as it was the first time.
			c.s.Found("a batch that was cut off cannot be repeated: %v", err)
			break
		}
		pause(ctx, retryPause(attempt))
	}
	return Told{Outcome: Unknown, At: time.Now()}
}
