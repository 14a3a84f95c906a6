package producer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"landfall/message"
)

// pile is DeadLetters that a test has made, all of one stream.
type pile struct {
	seqs    []uint64
	choices []LetterChoice
	err     error
}

func (p *pile) List(_ context.Context, c LetterChoice) (list []*message.DeadLetter, err error) {
	p.choices = append(p.choices, c)
	for _, seq := range p.seqs {
		if seq > c.After.Seq && len(list) < c.Limit {
			list = append(list, &message.DeadLetter{Stream: "MESSAGES", StreamID: 1, Reason: "no number", SQLState: "22P02", FailedAt: time.Unix(1, 0),
				Message: message.Message{Seq: seq, Subject: "messages", Data: []byte{0xff, byte(seq)}}})
		}
	}
	return list, p.err
}

func (p *pile) Retry(_ context.Context, _ string, seq uint64) (RetriedLetter, error) {
	switch {
	case p.err != nil:
		return RetriedLetter{}, p.err
	case seq == 13:
		return RetriedLetter{}, &StillRefused{"no number"}
	case !slices.Contains(p.seqs, seq):
		return RetriedLetter{}, ErrNoLetter
	}
	return RetriedLetter{Resolution: "published again as MESSAGES/99", As: 99, Row: json.RawMessage(`{"id":1}`)}, nil
}

func (p *pile) Discard(ctx context.Context, _ string, seq uint64) (RetriedLetter, error) {
	switch {
	case p.err != nil:
		return RetriedLetter{}, p.err
	case !slices.Contains(p.seqs, seq):
		return RetriedLetter{}, ErrNoLetter
	}
	return RetriedLetter{Resolution: "discarded"}, nil
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	p := &pile{seqs: []uint64{3, 7, 13}}
	d := New(Options{Streams: theStreams})
	at := func(method, path string) *httptest.ResponseRecorder {
		return call{method: method, path: "/v1/dead-letters" + path}.at(d)
	}
	refusedWith(t, at("GET", ""), 503, "not-up")
	refusedWith(t, at("POST", "/MESSAGES/3/retry"), 503, "not-up")
	d.backend.Store(&Backend{})
	refusedWith(t, at("GET", ""), 503, "not-asked")
	d.backend.Store(&Backend{Letters: p})

	like(t, at("GET", "?limit=2"), 200, `{"next":"1.7"}`)
	like(t, at("GET", "?limit=2&after=1.7&stream=MESSAGES&reason=x&since=2026-01-02T03:04:05Z"), 200,
		`{"dead_letters":[{"stream":"MESSAGES","seq":13,"stream_id":1,"subject":"messages","body_bytes":"/w0=","reason":"no number","sqlstate":"22P02","failed_at":"`+
			time.Unix(1, 0).Format(time.RFC3339)+`"}],"next":null}`)
	want := LetterChoice{Stream: "MESSAGES", Reason: "x", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), After: LetterPlace{1, 7}, Limit: 2}
	if diff := cmp.Diff(want, p.choices[1]); diff != "" {
		t.Error(diff)
	}
	like(t, at("GET", "?after=1.13"), 200, `{"dead_letters":[]}`)
	for _, query := range []string{"?limit=0", "?limit=1001", "?limit=x", "?after=7", "?after=x.y", "?since=yesterday", "?seq=1", "?%zz"} {
		refusedWith(t, at("GET", query), 400, "query")
	}
	refusedWith(t, at("GET", "?stream=NOWHERE"), 404, "no-such-stream")
	refusedWith(t, at("POST", ""), 405, "method")

	like(t, at("POST", "/MESSAGES/3/retry"), 200, `{"resolution":"published again as MESSAGES/99","as_seq":99,"row":{"id":1}}`)
	refusedWith(t, at("POST", "/MESSAGES/13/retry"), 422, "still-refused")
	refusedWith(t, at("POST", "/MESSAGES/4/retry"), 404, "no-letter")
	refusedWith(t, at("POST", "/NOWHERE/4/retry"), 404, "no-such-stream")
	refusedWith(t, at("POST", "/MESSAGES/0/retry"), 400, "sequence")
	refusedWith(t, at("POST", "/MESSAGES/3"), 404, "path")
	refusedWith(t, at("GET", "/MESSAGES/3/retry"), 405, "method")
	like(t, at("POST", "/MESSAGES/13/discard"), 200, `{"resolution":"discarded","as_seq":null,"row":null}`)
	refusedWith(t, at("POST", "/MESSAGES/4/discard"), 404, "no-letter")
	refusedWith(t, at("POST", "/NOWHERE/4/discard"), 404, "no-such-stream")
	refusedWith(t, at("GET", "/MESSAGES/3/discard"), 405, "method")
	p.err = errors.New("dial 10.0.0.1: connection refused")
	for w, name := range map[*httptest.ResponseRecorder]string{at("GET", ""): "not-asked", at("POST", "/MESSAGES/3/retry"): "not-retried", at("POST", "/MESSAGES/3/discard"): "not-discarded"} {
		if got := refusedWith(t, w, 503, name); strings.Contains(got.Detail, "10.0.0.1") {
			t.Errorf("detail %q", got.Detail)
		}
	}
}
