package producer

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// call is one request to a door, and what came back.
type call struct {
	method, path, body string
	header             http.Header
}

// post publishes a body, with headers as key, value, key, value.
func post(subject, body string, header ...string) call {
	c := call{method: http.MethodPost, path: "/v1/publish/" + subject, body: body, header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		c.header.Add(header[i], header[i+1])
	}
	return c
}

// at performs the call in the caller's goroutine.
func (c call) at(h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	r.Header = c.header.Clone()
	w := httptest.NewRecorder()
	watched(h).ServeHTTP(w, r)
	return w
}

// acked is the receipt of a 200.
func acked(t *testing.T, w *httptest.ResponseRecorder) receipt {
	t.Helper()
	var got receipt
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// refusedWith checks that an answer is a complete problem of that status.
func refusedWith(t *testing.T, w *httptest.ResponseRecorder, status int, name string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("status %d, body %q: %v", w.Code, w.Body, err)
	}
	if w.Code != status || p.Status != status || p.Type != "urn:landfall:problem:"+name {
		t.Fatalf("got %d %+v, want %d %s", w.Code, p, status, name)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type %q", ct)
	}
	if p.Title == "" || p.Detail == "" || p.Advice == "" {
		t.Errorf("an empty member in %+v", p)
	}
	if again := status == 429 || status == 503; again != (w.Header().Get("Retry-After") != "") {
		t.Errorf("%d with Retry-After %q", status, w.Header().Get("Retry-After"))
	}
	return p
}

func TestPublishStoresTheMessage(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	body := "any \x00 bytes \xff"
	got := acked(t, post("messages.caf%C3%A9%2Fbar", body,
		"Idempotency-Key", "o-1",
		"Content-Type", "text/plain; charset=x",
		"Traceparent", "00-1-2-01",
		"landfall-op", "delete", "x-message-tenant", "a", "X-Message-Tenant", "b",
		"Cookie", "secret", "X-Forwarded-For", "10.0.0.1", "Accept", "*/*").at(d))
	if want := (receipt{Stream: "MESSAGES", Seq: 1, MsgID: "o-1"}); got != want {
		t.Errorf("receipt %+v, want %+v", got, want)
	}
	m, found, err := storedIn(js)(t.Context(), "MESSAGES", 1)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if m.Subject != "messages.café/bar" || string(m.Data) != body {
		t.Errorf("stored %q under %q", m.Data, m.Subject)
	}
	want := map[string][]string{
		"Nats-Msg-Id": {"o-1"}, "Content-Type": {"text/plain; charset=x"},
		"traceparent": {"00-1-2-01"}, "X-Message-Tenant": {"a", "b"}, "Landfall-Op": {"delete"},
	}
	if diff := cmp.Diff(want, m.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestRepeatsAreStoredOnce(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	first := acked(t, post("messages", "one", "Idempotency-Key", "k").at(d))
	again := acked(t, post("messages", "one", "Idempotency-Key", `"k"`).at(d))
	if first.Duplicate || !again.Duplicate || again.Seq != first.Seq || again.MsgID != "k" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	p := refusedWith(t, post("messages", "two", "Idempotency-Key", "k").at(d), 422, "key-reused")
	if !strings.Contains(p.Detail, "message 1 of stream MESSAGES") {
		t.Errorf("detail %q", p.Detail)
	}
	refusedWith(t, post("messages.other", "one", "Idempotency-Key", "k").at(d), 422, "key-reused")

	a, b := acked(t, post("messages", "same").at(d)), acked(t, post("messages", "same").at(d))
	if a.MsgID == b.MsgID || a.MsgID == "" || a.Seq == b.Seq || a.Duplicate || b.Duplicate {
		t.Errorf("without keys two sends are two messages: %+v, %+v", a, b)
	}
	if n := state(t, js, "MESSAGES").Msgs; n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

// A message that was trimmed while its key is remembered cannot be compared.
func TestRepeatOfATrimmedMessage(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	acked(t, post("messages", "one", "Idempotency-Key", "k").at(d))
	s, err := js.Stream(t.Context(), "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := refusedWith(t, post("messages", "one", "Idempotency-Key", "k").at(d), 503, "trimmed")
	if p.MsgID != "k" {
		t.Errorf("msg_id %q", p.MsgID)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	d, nc, js := opened(t, Options{})
	// Nobody may sneak into the JetStream API: no request gets there.
	sneaked, err := nc.SubscribeSync("$JS.API.STREAM.NAMES")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("k", maxKey+1)
	for _, c := range []struct {
		call   call
		status int
		name   string
		says   string
	}{
		{post("$JS.API.STREAM.NAMES", ""), 400, "subject", "belongs to the servers"},
		{post("%24SYS.x", ""), 400, "subject", "belongs to the servers"},
		{post("_INBOX.x", ""), 400, "subject", "belongs to the servers"},
		{post("messages.*", ""), 400, "subject", "wildcard"},
		{post("messages.%3E", ""), 400, "subject", "wildcard"},
		{post("messages..x", ""), 400, "subject", "empty token"},
		{post("messages.", ""), 400, "subject", "empty token"},
		{post("", ""), 400, "subject", "empty"},
		{post("messages.a%20b", ""), 400, "subject", "white space"},
		{post("messages.a%0d%0aPUB", ""), 400, "subject", "white space"},
		{post("messages.%ff", ""), 400, "subject", "UTF-8"},
		{post("messages."+strings.Repeat("x", maxSubject), ""), 400, "subject", "bytes"},
		{post("orders.created", ""), 404, "no-stream", "taken are: messages, messages.>, small.*"},
		{post("messages/x", ""), 404, "path", "/v1/publish/messages/x"},
		{call{method: "GET", path: "/nowhere"}, 404, "path", "/nowhere"},
		{call{method: "GET", path: "/healthz"}, 404, "path", "/healthz"},
		{call{method: "GET", path: "/v1/publish/messages"}, 405, "method", "not a GET"},
		{post("messages?ack=stored", ""), 503, "not-asked", "no answer from Postgres"},
		{post("messages?ack=all", ""), 400, "query", `quorum or stored, not "all"`},
		{post("messages?acks=1", ""), 400, "query", "acks"},
		{post("messages?ack=quorum&ack=stored", ""), 400, "query", "2 times"},
		{post("messages?ack=quorum&timeout=1s", ""), 400, "query", "timeout is for ack=stored"},
		{post("messages?ack=stored&timeout=31s", ""), 400, "query", "at most 30s"},
		{post("messages?ack=stored&timeout=-1s", ""), 400, "query", "at most 30s"},
		{post("messages?first_line=2", ""), 400, "query", "first_line is for NDJSON"},
		{post("messages?first_line=0", "", "Content-Type", "application/x-ndjson"), 400, "query", "from 1"},
		{post("messages?%zz", ""), 400, "query", "invalid URL escape"},
		{post("messages", "", "Idempotency-Key", ""), 400, "key", "empty"},
		{post("messages", "", "Idempotency-Key", long), 400, "key", "513 bytes"},
		{post("messages", "", "Idempotency-Key", "a/b"), 400, "key", "slash"},
		{post("messages", "", "Idempotency-Key", "a\x01b"), 400, "key", "control"},
		{post("messages", "", "Idempotency-Key", "\xff"), 400, "key", "UTF-8"},
		{post("messages", "", "Idempotency-Key", `"a`), 400, "key", "quoted"},
		{post("messages", "", "Idempotency-Key", `" a"`), 400, "key", "white space"},
		{post("messages", "", "Idempotency-Key", "a", "Idempotency-Key", "b"), 400, "key", "2 of them"},
		{post("messages", "", "nats-msg-id", "a"), 400, "header", "Nats-Msg-Id"},
		{post("messages", "", "Nats-Rollup", "all"), 400, "header", "Nats-Rollup"},
		{post("messages", "{}", "Content-Type", "application/X-NDJSON; x"), 400, "key", "a batch needs one"},
		{post("messages", "{}", "Content-Type", "application/jsonl", "Idempotency-Key", "a/b"), 400, "key", "slash"},
		{post("messages", "", "Content-Encoding", "br"), 415, "encoding", "gzip, zstd, identity"},
		{post("messages", "", "Content-Encoding", "gzip, zstd"), 415, "encoding", "one at a time"},
		{post("messages", "", "Content-Encoding", "gzip", "Content-Encoding", "gzip"), 415, "encoding", "one at a time"},
		{post("messages", "{}", "Content-Type", "application/cloudevents+json", "Idempotency-Key", "k"), 400, "key", "are its key"},
		{post("messages", "", "Ce-Id", "1"), 400, "cloudevent", "specversion"},
		{post("messages", strings.Repeat("x", 1<<20)), 413, "too-large", "it may have 10485"},
		{post("messages", "", "X-Message-Long", strings.Repeat("x", 1<<16)), 431, "headers-too-large", "65535 are allowed"},
	} {
		p := refusedWith(t, c.call.at(d), c.status, c.name)
		if !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s %s: detail %q does not say %q", c.call.method, c.call.path, p.Detail, c.says)
		}
	}
	if n := state(t, js, "MESSAGES").LastSeq; n != 0 {
		t.Errorf("%d messages were stored", n)
	}
	if m, err := sneaked.NextMsg(1); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("a request came to %v (%v)", m, err)
	}
}

// The largest message that the door takes is one that the server takes too,
// and the first one that it does not take is not.
func TestLargestMessage(t *testing.T) {
	t.Parallel()
	d, nc, js := opened(t, Options{})
	h := nats.Header{"Nats-Msg-Id": {"k"}, "X-Message-A": {"b"}}
	limit, err := d.bodyLimit(h)
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("x", limit)
	acked(t, post("messages", body, "Idempotency-Key", "k", "X-Message-A", "b").at(d))
	refusedWith(t, post("messages", body+"x", "Idempotency-Key", "k", "X-Message-A", "b").at(d), 413, "too-large")
	if err := nc.PublishMsg(&nats.Msg{Subject: "x", Header: h, Data: []byte(body + "x")}); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("the server takes one byte more: %v", err)
	}
	if n := state(t, js, "MESSAGES").Msgs; n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	probes := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	d, _, _ := opened(t, Options{Token: "sesame", Probes: probes})
	for _, header := range []string{"", "sesame", "Basic sesame", "Bearer", "Bearer sesam", "Bearer sesame2"} {
		c := post("messages", "x")
		if header != "" {
			c.header.Set("Authorization", header)
		}
		w := c.at(d)
		refusedWith(t, w, 401, "token")
		if got := w.Header().Get("WWW-Authenticate"); got != `Bearer realm="landfall"` {
			t.Errorf("WWW-Authenticate %q", got)
		}
	}
	refusedWith(t, call{method: "GET", path: "/nowhere"}.at(d), 401, "token")
	acked(t, post("messages", "x", "Authorization", "bearer sesame").at(d))
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := (call{method: "GET", path: path}).at(d); w.Body.String() != "fine" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestClosedDoor(t *testing.T) {
	t.Parallel()
	d := New(Options{Streams: theStreams, Ready: func() error { return errors.New("waiting for n2, n3") }})
	p := refusedWith(t, post("messages", "x").at(d), 503, "not-up")
	if p.Detail != "this node is not up: waiting for n2, n3" {
		t.Errorf("detail %q", p.Detail)
	}
	nc, js := dial(t, startServer(t, &server.Options{StoreDir: t.TempDir()}))
	createStreams(t, js, 1)
	if err := d.Open(Backend{Publisher: js, Stored: storedIn(js), Conn: nc}); err != nil {
		t.Fatal(err)
	}
	if err := d.Open(Backend{Publisher: js, Stored: storedIn(js)}); err == nil {
		t.Error("opened twice")
	}
	acked(t, post("messages", "x").at(d))
	d.Close()
	refusedWith(t, post("messages", "x").at(d), 503, "not-up")
	if err := d.Open(Backend{}); err == nil {
		t.Error("opened without a publisher")
	}
}
