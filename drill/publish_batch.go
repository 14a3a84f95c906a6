package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// batchLines is how many messages a batch of a drill has.
const batchLines = 50

// batchPublisher sends one NDJSON batch after another through the nodes'
// HTTP endpoints, each until all of its lines are acknowledged: under its key
// the whole of it may be repeated at any node.
type batchPublisher struct {
	door    *HTTPDoor
	book    *Book
	gate    *Gate
	name    string
	every   time.Duration // one batch
	compose func(key string, line int) Message
	found   func(format string, args ...any) // told when a batch is refused, which it must not be
}

// run publishes until stop; what is under way then is finished.
func (p *batchPublisher) run(ctx context.Context, stop <-chan struct{}) error {
	defer p.book.Close() //nolint:errcheck // the ledger keeps it
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stop:
			return nil
		case <-tick.C:
		}
		leave, err := p.gate.Pass(ctx)
		if err != nil {
			return err
		}
		p.deliver(ctx, fmt.Sprintf("%s-%d", p.name, n))
		leave()
	}
}

// deliver enters a batch, line by line, and repeats it until every line is
// acknowledged, or patience ends. A batch's answer names no line's sequence.
func (p *batchPublisher) deliver(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(ctx, soakPatience)
	defer cancel()
	var body bytes.Buffer
	refs := make([]Ref, 0, batchLines)
	for line := 1; line <= batchLines; line++ {
		m := p.compose(key, line)
		refs = append(refs, p.book.Offer(m, time.Now()))
		body.Write(m.Body)
		body.WriteByte('\n')
	}
	told := Told{Outcome: Unknown}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		duplicate, err := p.door.tryBatch(ctx, batchSubject, key, body.Bytes(), batchLines)
		if err == nil {
			told = Told{Outcome: Acked, Stream: Stream, Duplicate: duplicate}
			break
		}
		if no := (*Refusal)(nil); errors.As(err, &no) {
			p.found("a batch was refused: %s", no.Reason)
			break
		}
		pause(ctx, retryPause(attempt))
	}
	told.At = time.Now()
	for _, ref := range refs {
		p.book.Tell(ref, told)
	}
}

// tryBatch sends a batch of lines to the next node, once. If the error is nil
// every line is acknowledged; duplicate tells that some line may have been
// before. A *Refusal means that no repeat will change the answer.
func (d *HTTPDoor) tryBatch(ctx context.Context, subject, key string, body []byte, lines int) (duplicate bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, httpAttempt)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+d.next()+"/v1/publish/"+url.PathEscape(subject), bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("publish batch %s: %w", key, err)
	}
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Content-Type", ndjson)
	d.authorize(req)
	resp, err := d.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("publish batch %s: %w", key, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return false, fmt.Errorf("publish batch %s: read answer: %w", key, err)
	}
	var answer struct {
		Messages   int `json:"messages"`
		Duplicates int `json:"duplicates"`
	}
	switch status := resp.StatusCode; {
	case status == http.StatusOK && json.Unmarshal(text, &answer) == nil && answer.Messages == lines:
		return answer.Duplicates > 0, nil
	case status >= 400 && !repeatable(status):
		return false, &Refusal{Reason: fmt.Sprintf("batch %s: status %d: %s", key, status, text)}
	default:
		return false, fmt.Errorf("publish batch %s: status %d: %s", key, status, text)
	}
}

// ndjson is the content type of a batch, one message a line.
const ndjson = "application/x-ndjson"
