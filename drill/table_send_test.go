package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// tableRun sends one mode's documents, in their order.
type tableRun struct {
	*rig
	seed  uint64
	mode  string
	lines int // without those that delete
	http  *HTTPDoor
	js    jetstream.JetStream
	sent  *atomic.Int64 // of all modes

	parts []tablePart // by number
}

// tablePart is a part of the run that is sent together: lines from first on,
// with what they have in common.
type tablePart struct {
	number, first, count int
	region, origin       string // origin "": no header
	byNATS, deletes      bool
}

// id of the n-th line of the part, from 0: the same as the endpoint makes.
func (p *tablePart) id(n int) string { return fmt.Sprintf("part-%d/%d", p.number, n+1) }

const (
	partLines       = 400
	partLinesNATS   = 40
	partLinesDelete = 15
)

// plan deals the lines out.
func (u *tableRun) plan() {
	chance := rand.New(rand.NewPCG(u.seed, uint64(u.mode[0])))
	regions := []string{"eu", "us", "Übersee"}
	for first := 0; first < u.lines; {
		p := tablePart{number: len(u.parts), first: first, count: min(partLines, u.lines-first), region: regions[chance.IntN(3)]}
		if chance.IntN(3) > 0 {
			p.origin = fmt.Sprintf("origin %d", p.number)
		}
		switch chance.IntN(8) {
		case 0:
			p.byNATS, p.count = true, min(p.count, partLinesNATS)
		case 1:
			p.deletes, p.byNATS, p.count = u.mode == modeUpsert, chance.IntN(2) == 0, min(p.count, partLinesDelete)
		}
		if !p.byNATS && !p.deletes {
			u.cut(&p)
		}
		u.parts = append(u.parts, p)
		first += p.count
	}
}

// cut has a part end before a line that is no JSON: a batch takes none. One
// that begins with it is a short one by NATS.
func (u *tableRun) cut(p *tablePart) {
	for n := range p.count {
		if body := u.line(p, n).body; json.Valid(body) && utf8.Valid(body) {
			continue
		}
		if p.count = n; n == 0 {
			p.byNATS, p.count = true, 1
		}
		return
	}
}

// line is the n-th of a part. A delete names the key that its line would have.
func (u *tableRun) line(p *tablePart, n int) tableLine {
	l := makeLine(u.seed, u.mode, p.first+n, u.lines)
	if p.deletes {
		l = tableLine{key: l.key, body: fmt.Appendf(nil, `{"name": ["whatever"], "id": %d}`, l.key)}
	}
	return l
}

// run sends everything, one part after the other.
func (u *tableRun) run(ctx context.Context) error {
	for i := range u.parts {
		if err := u.send(ctx, &u.parts[i]); err != nil {
			return fmt.Errorf("%s, part %d: %w", u.mode, i, err)
		}
	}
	return nil
}

// send repeats a part until all of it is acknowledged.
func (u *tableRun) send(ctx context.Context, p *tablePart) error {
	var body bytes.Buffer
	for n := range p.count {
		body.Write(u.line(p, n).body)
		body.WriteByte('\n')
	}
	defer u.sent.Add(int64(p.count))
	subject := u.mode + "." + p.region + ".x"
	if p.byNATS {
		for n := range p.count {
			if err := u.publish(ctx, p, n, subject); err != nil {
				return err
			}
		}
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := u.post(ctx, p, subject, body.Bytes())
		if no := (*Refusal)(nil); err == nil || errors.As(err, &no) || ctx.Err() != nil {
			return err
		}
		pause(ctx, retryPause(attempt))
	}
}

func (u *tableRun) post(ctx context.Context, p *tablePart, subject string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+u.http.next()+"/v1/publish/"+subject, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Idempotency-Key", fmt.Sprintf("part-%d", p.number))
	req.Header.Set("Content-Type", ndjson)
	if p.origin != "" {
		req.Header.Set("X-Message-Origin", p.origin)
	}
	if p.deletes {
		req.Header.Set("Landfall-Op", "delete")
	}
	resp, err := u.http.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusOK:
		return nil
	case repeatable(resp.StatusCode):
		return &StatusError{resp.StatusCode, string(text)}
	}
	return &Refusal{Reason: fmt.Sprintf("status %d: %s", resp.StatusCode, text)}
}

func (u *tableRun) publish(ctx context.Context, p *tablePart, n int, subject string) error {
	m := &nats.Msg{Subject: subject, Data: u.line(p, n).body, Header: nats.Header{}}
	if p.origin != "" {
		m.Header["X-Message-Origin"] = []string{p.origin, "another"}
	}
	if p.deletes {
		m.Header.Set("Landfall-Op", "delete")
	}
	return insist(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, natsAttempt)
		defer cancel()
		_, err := u.js.PublishMsg(ctx, m, jetstream.WithMsgID(p.id(n)), jetstream.WithRetryAttempts(0))
		return err
	})
}

// told is a message as the stream has it.
type told struct {
	seq   uint64
	part  *tablePart
	place int // in the part
}

// read reads the whole stream: which line has which sequence. An error is, too,
// that one is not there, or another message than was sent.
func (u *tableRun) read(ctx context.Context) ([]told, error) {
	consumer, err := u.js.OrderedConsumer(ctx, tableStream(u.mode), jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	last, err := consumer.Info(ctx)
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	var all []told
	there := make(map[string]bool)
	for range last.NumPending {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		id := m.Headers().Get("Nats-Msg-Id")
		var part, place int
		if _, err := fmt.Sscanf(id, "part-%d/%d", &part, &place); err != nil {
			return nil, fmt.Errorf("nobody sent %q", id)
		}
		one := told{meta.Sequence.Stream, &u.parts[part], place - 1}
		if !bytes.Equal(m.Data(), u.line(one.part, one.place).body) {
			return nil, fmt.Errorf("message %s is in the stream with another body", id)
		}
		there[id] = true
		all = append(all, one)
	}
	if len(there) != u.lines {
		return nil, fmt.Errorf("%d of %d lines are in the stream", len(there), u.lines)
	}
	return all, nil
}
