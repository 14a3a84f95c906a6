package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// httpAttempt bounds one request. It is longer than the endpoint holds a
// request during an election (10 s), and matters only when a node hangs.
const httpAttempt = 12 * time.Second

// HTTPDoor publishes through the nodes' HTTP endpoints in turn.
type HTTPDoor struct {
	hosts  []string
	client *http.Client
	token  string // "": none is sent
	turn   atomic.Uint64
}

// NewHTTPDoor makes a door over the nodes' host:port addresses, with as many
// kept connections as there are publishers. Close gives them back.
func NewHTTPDoor(hosts []string, publishers int) *HTTPDoor {
	return &HTTPDoor{hosts: hosts, client: &http.Client{
		Timeout: httpAttempt,
		Transport: &http.Transport{
			Proxy:               nil, // never through a proxy of the environment
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			MaxIdleConnsPerHost: publishers,
			DisableCompression:  true,
		},
	}}
}

// Close gives the kept connections back.
func (d *HTTPDoor) Close() { d.client.CloseIdleConnections() }

// Try sends the message to the next node in turn; a repeat goes to the one
// after the node that failed.
func (d *HTTPDoor) Try(ctx context.Context, _ int, m Message) (Receipt, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+d.next()+"/v1/publish/"+url.PathEscape(m.Subject), bytes.NewReader(m.Body))
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", m.ID, err)
	}
	req.Header.Set("Idempotency-Key", m.ID)
	d.authorize(req)
	resp, err := d.client.Do(req)
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: %w", m.ID, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return Receipt{}, fmt.Errorf("publish %s: read answer: %w", m.ID, err)
	}
	return readAnswer(resp.StatusCode, body)
}

// next is the host whose turn it is. The turn moves with every attempt of
// every publisher, so a repeat meets another node sooner or later without
// anyone keeping track.
func (d *HTTPDoor) next() string { return d.hosts[d.turn.Add(1)%uint64(len(d.hosts))] }

func (d *HTTPDoor) authorize(req *http.Request) {
	if d.token != "" {
		req.Header.Set("Authorization", "Bearer "+d.token)
	}
}

// StatusError is an answer that is no promise, and no definite refusal.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("publish: status %d: %s", e.Status, e.Body) }

// repeatable tells answers that say nothing of the message.
func repeatable(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// readAnswer takes the endpoint at its word: 200 is a promise, 408, 429 and
// 5xx are to be repeated, and any other status is a definite no.
func readAnswer(status int, body []byte) (Receipt, error) {
	switch {
	case status == http.StatusOK:
		var ok struct {
			Stream    string `json:"stream"`
			Seq       uint64 `json:"seq"`
			Duplicate bool   `json:"duplicate"`
		}
		if err := json.Unmarshal(body, &ok); err != nil {
			return Receipt{}, fmt.Errorf("publish: read answer: %w", err)
		}
		if ok.Stream == "" || ok.Seq == 0 {
			return Receipt{}, fmt.Errorf("publish: answer names no stream and sequence: %s", body)
		}
		return Receipt{Stream: ok.Stream, Seq: ok.Seq, Duplicate: ok.Duplicate}, nil
	case repeatable(status):
		return Receipt{}, &StatusError{status, string(body)}
	default:
		return Receipt{}, &Refusal{Reason: fmt.Sprintf("status %d: %s", status, body)}
	}
}
