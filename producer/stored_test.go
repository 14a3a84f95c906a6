package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"landfall/message"
)

// books are Receipts that say what a test wrote into them.
type books struct {
	cursor uint64

	mu       sync.Mutex // guards the rest
	by       map[uint64]message.Receipt
	unheard  int      // awaited when there was no time any more
	troubled int      // so many calls of Unstored fail before one succeeds
	asked    []string // what was awaited: sequence, id, floor
}

func (b *books) Cursor(string) uint64 { return b.cursor }

func (b *books) Await(ctx context.Context, _ string, seq uint64, id string, floor uint64) (message.Receipt, error) {
	b.mu.Lock()
	r, ok := b.by[seq]
	b.asked = append(b.asked, fmt.Sprintf("%d %s %d", seq, id, floor))
	if ctx.Err() != nil {
		b.unheard++
	}
	b.mu.Unlock()
	if !ok {
		<-ctx.Done()
		return message.Receipt{}, ctx.Err()
	}
	return r, ctx.Err()
}

func (b *books) Receipt(_ context.Context, _ string, seq uint64) (message.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.troubled > 0 {
		b.troubled--
		return message.Receipt{}, errors.New("connection refused")
	}
	r, ok := b.by[seq]
	if !ok {
		r = message.Receipt{Seq: seq, State: message.Pending}
	}
	return r, nil
}

func (b *books) Unstored(_ context.Context, _ string, first, last uint64, each func(message.Receipt)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for seq := first; seq <= last; seq++ {
		if r, ok := b.by[seq]; ok && (r.Rejected() || r.State == message.Gap) {
			each(r)
		}
	}
	if b.troubled > 0 {
		b.troubled--
		return errors.New("connection refused")
	}
	return nil
}

// dead is a dead letter's receipt.
func dead(seq uint64, id string) message.Receipt {
	return message.Receipt{Seq: seq, State: message.DeadLettered, ID: id, SQLState: "22P02", Reason: "no number"}
}

// like compares a JSON document with what it should hold; a member that is
// null must be absent.
func like(t *testing.T, w *httptest.ResponseRecorder, status int, want string) {
	t.Helper()
	var got, expected map[string]any
	if err := errors.Join(json.Unmarshal(w.Body.Bytes(), &got), json.Unmarshal([]byte(want), &expected)); err != nil {
		t.Fatal(err)
	}
	if w.Code != status {
		t.Errorf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	for k, v := range expected {
		if diff := cmp.Diff(v, got[k]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", k, diff)
		}
	}
}

func TestStored(t *testing.T) {
	t.Parallel()
	b := &books{cursor: 7, by: map[uint64]message.Receipt{
		1: {Seq: 1, State: message.Stored, ID: "a"},
		2: {Seq: 2, State: message.Duplicate, Of: 1, ID: "b"},
		3: dead(3, "c"),
		4: {Seq: 4, State: message.Duplicate, Of: 3, ID: "d", SQLState: "22P02", Reason: "no number"},
		5: {Seq: 5, State: message.Gap},
	}}
	e := serve(t, Options{Deadline: 5 * time.Second}, b, nil)
	publish := func(key, query string) *httptest.ResponseRecorder {
		return post("messages"+query, "x", "Idempotency-Key", key).at(e)
	}
	like(t, publish("a", "?ack=stored"), 200, `{"stream":"MESSAGES","seq":1,"msg_id":"a","duplicate":false,"stored":true,"duplicate_of":null}`)
	like(t, publish("b", "?ack=stored&timeout=10s"), 200, `{"seq":2,"duplicate":true,"stored":true,"duplicate_of":1}`)
	like(t, publish("c", "?ack=stored"), 422, `{"type":"urn:landfall:problem:dead-letter","stream":"MESSAGES","seq":3,"reason":"no number","sqlstate":"22P02","msg_id":"c","duplicate_of":null}`)
	like(t, publish("d", "?ack=stored"), 422, `{"type":"urn:landfall:problem:dead-letter","seq":4,"duplicate_of":3}`)
	like(t, publish("e", "?ack=stored"), 500, `{"type":"urn:landfall:problem:gap","seq":5}`)
	like(t, publish("f", "?ack=stored&timeout=50ms"), 202, `{"seq":6,"msg_id":"f","stored":false}`)
	like(t, publish("a", "?ack=stored"), 200, `{"seq":1,"duplicate":true,"stored":true}`)
	like(t, publish("a", "?ack=quorum"), 200, `{"seq":1,"duplicate":true,"stored":null}`)
	like(t, publish("a", ""), 200, `{"seq":1,"duplicate":true,"stored":null}`)
	want := []string{"1 a 7", "2 b 7", "3 c 7", "4 d 7", "5 e 7", "6 f 7", fmt.Sprint("1 a ", uint64(math.MaxUint64))}
	if diff := cmp.Diff(want, b.asked); diff != "" {
		t.Errorf("awaited (-want +got):\n%s", diff)
	}
	e.free(t)
}

// Requests that wait for Postgres take no room from those that do not, and
// when too many wait, one more does not.
func TestStoredWaitsBeside(t *testing.T) {
	t.Parallel()
	b := &books{}
	e := serve(t, Options{MaxInFlight: 2}, b, nil)
	var held sync.WaitGroup
	for i := range 2 {
		held.Go(func() {
			like(t, post("messages?ack=stored&timeout=2s", "x", "Idempotency-Key", fmt.Sprint(i)).at(e), 202, `{"stored":false}`)
		})
	}
	eventually(t, "both wait", func() bool { return e.waiting.Load() == 2 })
	e.free(t)
	like(t, post("messages?ack=stored&timeout=3s", "x").at(e), 202, `{"stored":false}`)
	if b.unheard != 1 {
		t.Errorf("%d did not wait", b.unheard)
	}
	acked(t, post("messages", "x").at(e))
	held.Wait()
	if n := e.waiting.Load(); n != 0 {
		t.Errorf("%d wait", n)
	}
}

func TestBatchStored(t *testing.T) {
	t.Parallel()
	b := &books{cursor: 3, troubled: 2, by: map[uint64]message.Receipt{
		3:  {Seq: 3, State: message.Stored, ID: "fine/3"},
		4:  {Seq: 4, State: message.Stored, ID: "some/1"},
		5:  dead(5, "some/2"),
		6:  dead(6, "other/3"),
		7:  {Seq: 7, State: message.Duplicate, Of: 5, ID: "some/5", Reason: "no number"},
		8:  {Seq: 8, State: message.Stored, ID: "some/6"},
		9:  {Seq: 9, State: message.Gap},
		11: {Seq: 11, State: message.Gap},
		12: {Seq: 12, State: message.Stored, ID: "hole/3"},
	}}
	e := serve(t, Options{Deadline: 5 * time.Second}, b, nil)
	yes, no := true, false
	is := func(got told, status int, stored *bool, says string) {
		t.Helper()
		if diff := cmp.Diff(stored, got.Stored); got.Code != status || diff != "" || !strings.Contains(fmt.Sprintf("%+v", got), says) {
			t.Errorf("%+v, stored (-want +got):\n%s", got, diff)
		}
	}
	is(e.batch(t, "fine", "?ack=stored", strings.NewReader("1\n2\n3")), 200, &yes, "Messages:3")
	is(e.batch(t, "fine", "", strings.NewReader("1\n2\n3")), 200, nil, "Messages:3")
	is(e.batch(t, "fine", "?ack=stored", strings.NewReader("1\n2\n3")), 200, &yes, "Duplicates:3")
	got := e.batch(t, "some", "?ack=stored", strings.NewReader("1\n2\n3\n{\n5\n6"))
	is(got, 422, &yes, "3 of 6")
	want := []lineProblem{
		{2, "urn:landfall:problem:dead-letter", "it is acknowledged, and Postgres cannot hold it as a row: message 5 of stream MESSAGES: no number (SQLSTATE 22P02)"},
		{4, "urn:landfall:problem:not-json", "the line is not valid JSON: unexpected end of JSON input"},
		{5, "urn:landfall:problem:dead-letter", "it is acknowledged, and Postgres cannot hold it as a row: message 7 of stream MESSAGES repeats message 5: no number"},
	}
	if diff := cmp.Diff(want, got.Lines); diff != "" || got.Acknowledged != 5 || got.Refused != 3 || got.Through != 6 {
		t.Errorf("%+v, lines (-want +got):\n%s", got, diff)
	}
	is(e.batch(t, "lost", "?ack=stored", strings.NewReader("1")), 500, &no, "problem:gap")
	is(e.batch(t, "hole", "?ack=stored", strings.NewReader("1\n2\n3")), 500, &yes, "message 11 of stream MESSAGES is gone")
	is(e.batch(t, "late", "?ack=stored&timeout=50ms", strings.NewReader("1")), 202, &no, "Messages:1")
	b.mu.Lock()
	b.troubled = math.MaxInt
	b.mu.Unlock()
	is(e.batch(t, "fine", "?ack=stored&timeout=50ms", strings.NewReader("1\n2\n3")), 202, &no, "Messages:3")
	asked := []string{"3 fine/3 3", fmt.Sprint("3 fine/3 ", uint64(math.MaxUint64)), "8 some/6 3", "9 lost/1 3", "12 hole/3 3", "13 late/1 3", fmt.Sprint("3 fine/3 ", uint64(math.MaxUint64))}
	if diff := cmp.Diff(asked, b.asked); diff != "" {
		t.Errorf("awaited (-want +got):\n%s", diff)
	}
	e.free(t)
}

// Events' own dead letters are found by their ids, whatever these look like.
func TestEventsStored(t *testing.T) {
	t.Parallel()
	b := &books{by: map[uint64]message.Receipt{1: dead(1, "s//a"), 2: dead(2, "s//c"), 3: {Seq: 3, State: message.Stored, ID: "s//d"}}}
	e := serve(t, Options{}, b, nil)
	event := func(id string) string { return `{"specversion":"1.0","source":"s","type":"t","id":"` + id + `"}` }
	got := e.batch(t, "", "?ack=stored", strings.NewReader("["+event("b")+",{},"+event("c")+","+event("d")+"]"), "Content-Type", batchType)
	if got.Code != 422 || got.Refused != 2 || got.Lines[0].Line != 2 || got.Lines[1].Line != 3 || got.Lines[1].Type != "urn:landfall:problem:dead-letter" {
		t.Errorf("%+v", got)
	}
}

// A message is found by its id, the first of those that have it.
func TestRememberedNumbers(t *testing.T) {
	t.Parallel()
	k := remember(&listed{items: []item{{m: &incoming{id: "a"}}, {err: errEvent}, {m: &incoming{id: "b"}}, {m: &incoming{id: "a"}}}})
	for range 4 {
		if _, err := k.next(); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]uint64{"a": 1, "b": 3, "": 0, "c": 0} {
		if n, ok := k.number(id); n != want || ok != (want > 0) {
			t.Errorf("%q: %d, %v", id, n, ok)
		}
	}
}

func TestRemembered(t *testing.T) {
	t.Parallel()
	k := remember(endless{})
	for range maxRemembered {
		if _, err := k.next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.next(); !errors.Is(err, errBatchTooLarge) {
		t.Errorf("one more: %v", err)
	}
}

// endless are items without an end.
type endless struct{}

func (endless) next() (item, error) { return item{m: &incoming{}}, nil }

func TestReceipts(t *testing.T) {
	t.Parallel()
	b := &books{by: map[uint64]message.Receipt{
		1: {Seq: 1, State: message.Stored, ID: "a"}, 2: {Seq: 2, State: message.Duplicate, Of: 1}, 3: dead(3, "c"), 4: {Seq: 4, State: message.Gap},
	}}
	d := New(Options{Streams: theStreams})
	at := func(method, path string) *httptest.ResponseRecorder {
		return call{method: method, path: "/v1/receipts/" + path}.at(d)
	}
	refusedWith(t, at("GET", "MESSAGES/1"), 503, "not-up")
	d.backend.Store(&Backend{})
	refusedWith(t, at("GET", "MESSAGES/1"), 503, "not-asked")
	d.backend.Store(&Backend{Receipts: b})
	like(t, at("GET", "MESSAGES/1"), 200, `{"stream":"MESSAGES","seq":1,"state":"stored","duplicate_of":null,"reason":null,"sqlstate":null}`)
	like(t, at("HEAD", "MESSAGES/2"), 200, `{"state":"duplicate","duplicate_of":1}`)
	like(t, at("GET", "MESSAGES/3"), 200, `{"state":"dead-lettered","reason":"no number","sqlstate":"22P02"}`)
	like(t, at("GET", "MESSAGES/4"), 200, `{"state":"gap"}`)
	like(t, at("GET", "SMALL/18446744073709551615"), 200, `{"stream":"SMALL","state":"pending"}`)
	for _, seq := range []string{"0", "-1", "+1", "x", "", "1.0", "18446744073709551616"} {
		refusedWith(t, at("GET", "MESSAGES/"+seq), 400, "sequence")
	}
	refusedWith(t, at("GET", "MESSAGES/1?x=1"), 400, "query")
	refusedWith(t, at("GET", "NOWHERE/1"), 404, "no-such-stream")
	refusedWith(t, at("GET", "MESSAGES"), 404, "path")
	refusedWith(t, at("GET", "MESSAGES/1/2"), 404, "path")
	w := at("POST", "MESSAGES/1")
	refusedWith(t, w, 405, "method")
	if allow := w.Header().Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("Allow %q", allow)
	}
	b.troubled = 1
	if p := refusedWith(t, at("GET", "MESSAGES/1"), 503, "not-asked"); strings.Contains(p.Detail, "connection refused") {
		t.Errorf("detail %q", p.Detail)
	}
}
