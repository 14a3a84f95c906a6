package producer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/message"
)

// rangeIn reads messages back as a node does.
func rangeIn(js jetstream.JetStream) func(context.Context, string, uint64, uint64) ([]message.Message, error) {
	read := storedIn(js)
	return func(ctx context.Context, stream string, first, last uint64) ([]message.Message, error) {
		var out []message.Message
		for seq := first; seq <= last; seq++ {
			m, found, err := read(ctx, stream, seq)
			if err != nil {
				return out, err
			}
			if found {
				out = append(out, m)
			}
		}
		return out, nil
	}
}

// endpoint is a door with a real server on either side.
type endpoint struct {
	*Door
	url string
	js  jetstream.JetStream
	srv *httptest.Server
}

// serve opens a door and listens with it, until the test ends. change may be
// nil, or set what Server does otherwise.
func serve(t *testing.T, o Options, receipts Receipts, change func(*http.Server)) *endpoint {
	t.Helper()
	nc, js := dial(t, startServer(t, &server.Options{StoreDir: t.TempDir(), SyncAlways: true}))
	createStreams(t, js, 1)
	o.Streams = theStreams
	d := New(o)
	if err := d.Open(Backend{Publisher: js, Stored: storedIn(js), Range: rangeIn(js), Conn: nc, Receipts: receipts}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	srv := httptest.NewUnstartedServer(d)
	srv.Config = Server(watched(d), slog.New(slog.DiscardHandler))
	if change != nil {
		change(srv.Config)
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return &endpoint{Door: d, url: srv.URL, js: js, srv: srv}
}

// told is the answer to a batch: a summary, or a problem.
type told struct {
	Code   int `json:"-"`
	header http.Header
	batchProblem
	Stream   string `json:"stream"`
	Messages uint64 `json:"messages"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	Key      string `json:"key"`
}

// batch sends an NDJSON body; header is as of post.
func (e *endpoint) batch(t *testing.T, key, query string, body io.Reader, header ...string) told {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/v1/publish/messages.batch"+query, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := e.srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return readTold(t, res)
}

func readTold(t *testing.T, res *http.Response) told {
	t.Helper()
	defer res.Body.Close()
	got := told{Code: res.StatusCode, header: res.Header}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	want := "application/json"
	if res.StatusCode >= 300 {
		want = "application/problem+json"
		if got.Title == "" || got.Detail == "" || got.Advice == "" || got.Status != res.StatusCode {
			t.Errorf("an empty member in %+v", got)
		}
	}
	if ct := res.Header.Get("Content-Type"); ct != want {
		t.Errorf("Content-Type %q", ct)
	}
	return got
}

// ids are the stored messages of the stream, id and data, in order.
func (e *endpoint) ids(t *testing.T) []string {
	t.Helper()
	var out []string
	for seq := range state(t, e.js, "MESSAGES").LastSeq {
		m, found, err := storedIn(e.js)(t.Context(), "MESSAGES", seq+1)
		if err != nil || !found {
			t.Fatalf("message %d: %v, %v", seq+1, found, err)
		}
		out = append(out, m.ID()+" "+string(m.Data))
	}
	return out
}

// free checks that nothing is left in flight.
func (e *endpoint) free(t *testing.T) {
	t.Helper()
	eventually(t, "nothing is in flight", func() bool {
		e.gate.mu.Lock()
		defer e.gate.mu.Unlock()
		g := e.gate
		return g.messages == 0 && g.bytes == 0 && g.batches == 0 && g.batched.messages == 0 && g.batched.bytes == 0
	})
}

func TestBatch(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{}, nil, nil)
	body := "\xef\xbb\xbf{\"n\":1}\r\n\r\n[2]\n\n\"three\""
	got := e.batch(t, "k", "", strings.NewReader(body), "X-Message-A", "b", "Traceparent", "00-1-2-01")
	if got.Code != 200 || got.Stream != "MESSAGES" || got.Messages != 3 || got.FirstSeq != 1 || got.LastSeq != 3 || got.Key != "k" || got.Duplicates != 0 || got.Stored != nil {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]string{`k/1 {"n":1}`, `k/3 [2]`, `k/5 "three"`}, e.ids(t)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	m, _, err := storedIn(e.js)(t.Context(), "MESSAGES", 2)
	want := map[string][]string{"Nats-Msg-Id": {"k/3"}, "Content-Type": {"application/json"}, "X-Message-A": {"b"}, "traceparent": {"00-1-2-01"}}
	if diff := cmp.Diff(want, m.Header); diff != "" || err != nil || m.Subject != "messages.batch" {
		t.Errorf("subject %s, %v, headers (-want +got):\n%s", m.Subject, err, diff)
	}

	again := e.batch(t, "k", "", strings.NewReader(body))
	if again.Code != 200 || again.Messages != 3 || again.Duplicates != 3 || again.FirstSeq != 1 || again.LastSeq != 3 {
		t.Errorf("again: %+v", again)
	}
	rest := e.batch(t, "k", "?first_line=5", strings.NewReader("\"three\"\n4"))
	if rest.Code != 200 || rest.Messages != 2 || rest.Duplicates != 1 || rest.FirstSeq != 3 || rest.LastSeq != 4 {
		t.Errorf("from line 5 on: %+v", rest)
	}
	other := e.batch(t, "k", "", strings.NewReader("{\"n\":1}\n\n[7]"))
	if other.Code != 422 || other.Type != "urn:landfall:problem:lines" || other.Acknowledged != 1 || other.Refused != 1 ||
		len(other.Lines) != 1 || other.Lines[0].Line != 3 || other.Lines[0].Type != "urn:landfall:problem:key-reused" {
		t.Errorf("another body: %+v", other)
	}
	if n := len(e.ids(t)); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
	e.free(t)
}

func TestBatchOfEvents(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{}, nil, nil)
	event := func(id string) string {
		return `{"specversion":"1.0","source":"s","type":"t","id":"` + id + `","data":{"n":1}}`
	}
	got := e.batch(t, "", "", strings.NewReader("["+event("1")+`,{},`+event("2")+"]"), "Content-Type", "application/cloudevents-batch+json")
	if got.Code != 422 || got.Acknowledged != 2 || got.Refused != 1 || got.Lines[0].Line != 2 || got.Through != 3 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]string{`s//1 {"n":1}`, `s//2 {"n":1}`}, e.ids(t)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	r := acked(t, post("messages", event("3"), "Content-Type", "application/cloudevents+json").at(e))
	b := acked(t, post("messages", "text", "Content-Type", "text/plain", "Ce-Specversion", "1.0", "Ce-Source", "s", "Ce-Type", "t", "Ce-Id", "4").at(e))
	if r.MsgID != "s//3" || b.MsgID != "s//4" {
		t.Errorf("ids %q and %q", r.MsgID, b.MsgID)
	}
	if again := acked(t, post("messages", event("3"), "Content-Type", "application/cloudevents+json", "Content-Encoding", "identity").at(e)); !again.Duplicate {
		t.Errorf("again: %+v", again)
	}
	e.free(t)
}

func TestBatchRefusals(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{MaxBatchBytes: 10_000, MaxInFlightBytes: 1 << 30, Deadline: 300 * time.Millisecond}, nil, nil)
	three := "1\n2\n3\n"
	long := `"` + strings.Repeat("x", 2000) + "\"\n"
	for name, c := range map[string]struct {
		body, encoding string
		status         int
		problem        string
		acked, through uint64
		lines          string // numbers and types
		says, advises  string
	}{
		"empty":                    {body: "", status: 400, problem: "empty-batch", says: "no messages", advises: "one JSON text a line"},
		"blank":                    {body: "\n\n", status: 400, problem: "empty-batch"},
		"gzip":                     {body: gz(three), encoding: "gzip", status: 200, acked: 3},
		"gzip in two members":      {body: gz("1\n2") + gz("3\n4\n"), encoding: "x-gzip", status: 200, acked: 3},
		"zstd":                     {body: zs(t, three, 8<<20), encoding: "zstd", status: 200, acked: 3},
		"zstd, its length known":   {body: zsAll(t, three), encoding: "zstd", status: 200, acked: 3},
		"zstd in two frames":       {body: zsAll(t, "1\n") + zs(t, "2\n3\n", 2<<20), encoding: "zstd", status: 200, acked: 3},
		"zstd behind a skippable":  {body: "\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zs(t, three, 8<<20), encoding: "zstd", status: 200, acked: 3},
		"bad lines":                {body: "1\n{\n3\nx\n", status: 422, problem: "lines", acked: 2, through: 4, lines: "2 not-json, 4 not-json", says: "2 of 4", advises: "under another key"},
		"bad lines only":           {body: "{", status: 422, problem: "lines", through: 1, lines: "1 not-json"},
		"another encoding":         {body: three, encoding: "br", status: 415, problem: "encoding", says: "gzip, zstd, identity"},
		"not gzip":                 {body: three, encoding: "gzip", status: 400, problem: "decoding", says: "gzip"},
		"not zstd":                 {body: three, encoding: "zstd", status: 400, problem: "decoding", says: "zstd"},
		"no gzip":                  {body: "", encoding: "gzip", status: 400, problem: "decoding", says: "end too early"},
		"no zstd":                  {body: "", encoding: "zstd", status: 400, problem: "decoding", says: "end too early"},
		"gzip cut":                 {body: gz(three + "4")[:len(gz(three+"4"))-8], encoding: "gzip", status: 400, problem: "decoding", acked: 3, through: 3, says: "end too early", advises: "?first_line=4"},
		"zstd cut":                 {body: zs(t, three+"4", 1<<20)[:len(zs(t, three+"4", 1<<20))-4], encoding: "zstd", status: 400, problem: "decoding", acked: 3, through: 3, says: "end too early"},
		"garbage after gzip":       {body: gz(three+"4") + "garbage", encoding: "gzip", status: 400, problem: "decoding", acked: 3, through: 3, says: "gzip"},
		"garbage after zstd":       {body: zsAll(t, three+"4") + "g", encoding: "zstd", status: 400, problem: "decoding", acked: 3, through: 3, says: "zstd"},
		"zstd with a large window": {body: zs(t, three, 128<<20), encoding: "zstd", status: 400, problem: "decoding", says: "--long=23"},
		"a larger window later":    {body: zsAll(t, three) + zs(t, "4\n", 4<<20), encoding: "zstd", status: 400, problem: "decoding", acked: 3, through: 3, says: "as one frame"},
		"too large":                {body: strings.Repeat(long, 6), status: 413, problem: "batch-too-large", acked: 4, through: 4, says: "10000 bytes", advises: "Send the rest as another batch. With the same Idempotency-Key and ?first_line=5 it may begin with line 5."},
		"gzip bomb":                {body: gz(strings.Repeat(long, 60)), encoding: "gzip", status: 413, problem: "batch-too-large", acked: 4, through: 4, says: "10000 bytes"},
		"zstd bomb":                {body: zsAll(t, strings.Repeat(long, 60)), encoding: "zstd", status: 413, problem: "batch-too-large", acked: 4, through: 4, says: "10000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := e.batch(t, name, "", strings.NewReader(c.body), "Content-Encoding", c.encoding)
			if got.Code == 200 {
				got.Acknowledged = got.Messages
			}
			if got.Code != c.status || c.problem != "" && got.Type != "urn:landfall:problem:"+c.problem || got.Acknowledged != c.acked || got.Through != c.through {
				t.Fatalf("%+v", got)
			}
			var lines []string
			for _, l := range got.Lines {
				lines = append(lines, fmt.Sprintf("%d %s", l.Line, strings.TrimPrefix(l.Type, "urn:landfall:problem:")))
			}
			if strings.Join(lines, ", ") != c.lines || got.Refused != uint64(len(lines)) {
				t.Errorf("refused lines %q", lines)
			}
			if !strings.Contains(got.Detail, c.says) || !strings.Contains(got.Advice, c.advises) {
				t.Errorf("detail %q, advice %q", got.Detail, got.Advice)
			}
		})
	}
	t.Cleanup(func() { e.free(t) })
}

// A stream that is full ends a batch with what is stored so far.
func TestBatchInTrouble(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{Deadline: 500 * time.Millisecond}, nil, nil)
	w := post("small.a", "{\n2\n3\n4\n", "Content-Type", "application/x-ndjson", "Idempotency-Key", "k").at(e)
	got := readTold(t, w.Result())
	if got.Code != 503 || got.Type != "urn:landfall:problem:stream-full" || got.header.Get("Retry-After") == "" ||
		got.Acknowledged != 2 || got.Through != 3 || got.Refused != 1 || got.Lines[0].Line != 1 || got.MsgID != "" {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(got.Advice, "raise max_bytes. Repeat the whole batch with the same Idempotency-Key, or send it from line 4 on with that key and ?first_line=4") ||
		!strings.Contains(got.Advice, "under another key") {
		t.Errorf("advice %q", got.Advice)
	}
	e.free(t)
}

// Connections that break in the middle of a batch: what came before stands,
// the line that broke off does not, and nothing is left of it.
func TestBatchOverBrokenConnections(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{BodyTimeout: 300 * time.Millisecond}, nil, nil)
	frame := zsAll(t, "1\n2\n3")
	for name, c := range map[string]struct {
		length string // header, and another
		body   string
		half   bool // the client closes its half of the connection
		vanish bool // or both
		status int
		stored int
	}{
		"short of its length":       {length: "Content-Length: 100", body: "1\n2\n3", half: true, status: 400, stored: 2},
		"cut chunks":                {length: "Transfer-Encoding: chunked", body: "5\r\n1\n2\n3\r\n", half: true, status: 400, stored: 2},
		"cut in a chunk":            {length: "Transfer-Encoding: chunked", body: "9\r\n1\n2\n3", half: true, status: 400, stored: 2},
		"cut at a zstd frame's end": {length: "Transfer-Encoding: chunked\r\nContent-Encoding: zstd", body: fmt.Sprintf("%x\r\n%s\r\n", len(frame), frame), half: true, status: 400, stored: 2},
		"broken chunks":             {length: "Transfer-Encoding: chunked", body: "5\r\n1\n2\n3\r\nnonsense\r\n", status: 400, stored: 2},
		"vanishes":                  {length: "Content-Length: 100", body: "1\n2\n3", vanish: true, stored: 2},
		"stalls":                    {length: "Content-Length: 100", body: "1\n2\n3", status: 408, stored: 2},
		"longer than its length":    {length: "Content-Length: 5", body: "1\n2\n3456\n", status: 200, stored: 3},
		"whole chunks":              {length: "Transfer-Encoding: chunked", body: "5\r\n1\n2\n3\r\n0\r\n\r\n", status: 200, stored: 3},
	} {
		key := strings.ReplaceAll(name, " ", "-")
		before := len(e.ids(t))
		conn, err := net.Dial("tcp", e.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "POST /v1/publish/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nIdempotency-Key: %s\r\n%s\r\n\r\n%s", key, c.length, c.body)
		if err != nil {
			t.Fatal(err)
		}
		if c.half {
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if c.vanish {
			_ = conn.Close()
		} else {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := readTold(t, res)
			if got.Code != c.status || got.Code == 400 && got.Type != "urn:landfall:problem:body" || got.Code != 200 && (got.Through != 2 || got.Acknowledged != 2) {
				t.Errorf("%s: %+v", name, got)
			}
			_ = conn.Close()
		}
		eventually(t, name+": lines are stored", func() bool { return len(e.ids(t)) >= before+c.stored })
		e.free(t)
		if got := e.ids(t)[before:]; len(got) != c.stored || !strings.HasPrefix(got[0], key+"/1 ") {
			t.Errorf("%s: stored %q", name, got)
		}
	}
}

// Beyond the limit there is no further batch, and a single message passes
// beside those that are held.
func TestBatchesAreLimited(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{MaxBatches: 2}, nil, nil)
	var held sync.WaitGroup
	var ends []io.Closer
	for i := range 2 {
		r, w := io.Pipe()
		ends = append(ends, w)
		held.Go(func() {
			if got := e.batch(t, fmt.Sprint(i), "", r); got.Code != 200 || got.Messages != 1 {
				t.Errorf("held: %+v", got)
			}
		})
		if _, err := io.WriteString(w, "1\n"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "both are stored", func() bool { return len(e.ids(t)) == 2 })
	got := e.batch(t, "x", "", strings.NewReader("1\n"))
	if got.Code != 429 || got.Type != "urn:landfall:problem:busy" || got.header.Get("Retry-After") == "" || !strings.Contains(got.Detail, "2 batches") {
		t.Errorf("%+v", got)
	}
	acked(t, post("messages", "x").at(e))
	for _, w := range ends {
		_ = w.Close()
	}
	held.Wait()
	if got := e.batch(t, "x", "", strings.NewReader("1\n")); got.Code != 200 {
		t.Errorf("%+v", got)
	}
	e.free(t)
}

// A batch may take longer than the server gives any other request, in all and
// for its answer, while it goes on.
func TestLongBatch(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{BodyTimeout: 5 * time.Second}, nil, func(s *http.Server) { s.WriteTimeout = 200 * time.Millisecond })
	r, w := io.Pipe()
	var writer sync.WaitGroup
	writer.Go(func() {
		defer func() { _ = w.Close() }()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 30 {
			<-tick.C
			if _, err := io.WriteString(w, "1\n"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	got := e.batch(t, "k", "", r)
	writer.Wait()
	if got.Code != 200 || got.Messages != 30 {
		t.Errorf("%+v", got)
	}
}

// countless is a body of many lines that is nowhere in memory.
type countless struct {
	line string
	left int // lines
	part string
}

func (c *countless) Read(p []byte) (int, error) {
	if c.part == "" {
		if c.left == 0 {
			return 0, io.EOF
		}
		c.left--
		c.part = c.line
	}
	n := copy(p, c.part)
	c.part = c.part[n:]
	return n, nil
}

// A body far larger than the room there is passes through it, and single
// messages beside it, and idle connections cost nobody anything.
func TestLargeBatch(t *testing.T) {
	t.Parallel()
	const limit, lines = 8 << 20, 200
	e := serve(t, Options{MaxInFlightBytes: limit, MaxInFlight: 64}, nil, nil)
	for range 1000 {
		conn, err := net.Dial("tcp", e.srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	done := make(chan told)
	var sender sync.WaitGroup
	sender.Go(func() {
		done <- e.batch(t, "k", "", &countless{line: `"` + strings.Repeat("x", 1<<20-1000) + "\"\n", left: lines})
	})
	defer sender.Wait()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for most, singles := int64(0), 0; ; {
		select {
		case got := <-done:
			if got.Code != 200 || got.Messages != lines {
				t.Errorf("%+v", got)
			}
			if most == 0 || singles == 0 {
				t.Errorf("at most %d bytes were seen in flight, and %d single messages passed", most, singles)
			}
			e.free(t)
			return
		case <-tick.C:
			e.gate.mu.Lock()
			batched, messages := e.gate.batched.bytes, e.gate.batched.messages
			e.gate.mu.Unlock()
			if most = max(most, batched); batched > limit/2 || messages > 32 {
				t.Fatalf("%d bytes and %d messages of a batch are in flight", batched, messages)
			}
			acked(t, post("messages", "x").at(e))
			singles++
		}
	}
}

// A body that brings no messages is not read for ever, however little of it
// there was before it was decompressed.
func TestBatchInVain(t *testing.T) {
	t.Parallel()
	e := serve(t, Options{}, nil, nil)
	for name, c := range map[string]struct {
		vain            string
		acked, refusals uint64
	}{
		"blank": {strings.Repeat("\n", maxVainBytes+readAhead), 1, 0},
		"long":  {strings.Repeat("x", maxVainBytes+readAhead), 1, 0},
		"bad":   {strings.Repeat("x\n", maxVain+1), 1, maxVain},
	} {
		body := "{}\n" + c.vain + "\n{}\n"
		got := e.batch(t, name, "", strings.NewReader(zs(t, body, 1<<20)), "Content-Encoding", "zstd")
		if got.Code != 400 || got.Type != "urn:landfall:problem:no-messages" || got.Acknowledged != c.acked || got.Refused != c.refusals {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// As much of it with messages in between is fine.
	part := "{}\n" + strings.Repeat("\n", maxVainBytes/2)
	if got := e.batch(t, "fine", "", strings.NewReader(zs(t, part+part+part, 1<<20)), "Content-Encoding", "zstd"); got.Code != 200 || got.Messages != 3 {
		t.Errorf("%+v", got)
	}
	e.free(t)
}
