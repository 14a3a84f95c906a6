package drill

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// post sends a body under a key to one node, once.
func post(t *testing.T, host, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, 20*time.Second), http.MethodPost,
		"http://"+host+"/v1/publish/messages.key", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestOneKeyToSeveralNodes(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{StreamKeys: "duplicate_window: 1s"})
	ledger := newLedger(t)
	var door *HTTPDoor
	for i, host := range r.HTTPHosts() {
		door = NewHTTPDoor([]string{host}, 1)
		defer door.Close()
		m := Message{ID: "key-1", Subject: "messages.key", Body: []byte("one")}
		told := Deliver(within(t, 20*time.Second), door, m, 20*time.Second)
		if told.Outcome != Acked || told.Seq != 1 || told.Duplicate != (i > 0) {
			t.Errorf("at %s: %+v", host, told)
		}
		if i == 0 {
			b := book(t, ledger, "key")
			b.Tell(b.Offer(m, time.Now()), told)
		}
	}
	if status, answer := post(t, r.HTTPHosts()[1], "key-1", "another"); status != http.StatusUnprocessableEntity {
		t.Errorf("the key with another body: status %d, %s", status, answer)
	}

	// Beyond the window JetStream takes it again; Postgres still does not.
	pause(within(t, 2500*time.Millisecond), time.Minute)
	told := Deliver(within(t, 20*time.Second), door, Message{ID: "key-1", Subject: "messages.key", Body: []byte("one")}, 20*time.Second)
	if told.Outcome != Acked || told.Seq != 2 || told.Duplicate {
		t.Errorf("beyond the window: %+v", told)
	}
	r.send(ledger, door, Message{ID: "key-2", Subject: "messages.key", Body: []byte("two")})
	if v := r.proves(ledger); v.Repeats != 1 || v.Stored != 2 {
		t.Errorf("verdict %+v", v)
	}
}

// What a text column, a jsonb column or an index cannot hold must not stop, or
// take with it, what they can.
func TestStrangeMessages(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{})
	nc := r.dial()
	js, err := jetstream.New(nc)
	r.must(err)
	door := NewHTTPDoor(r.HTTPHosts(), 4)
	defer door.Close()
	ledger := newLedger(t)
	bodies := []string{"", "plain", "nul \x00 inside", "\xff\xfe no text", "ünïcode ☃", strings.Repeat("x", 200_000), `{"json":"\u0000"}`}
	for n, body := range bodies {
		r.send(ledger, door, Message{ID: fmt.Sprintf("body-%d", n), Subject: "messages.body", Body: []byte(body)})
	}
	// Two that no row can hold as they are: headers that are no text, and an id
	// too long for the index on ids. They are dead letters, among good rows.
	bytesIn := Message{ID: "headers", Subject: "messages.headers", Body: []byte("strange headers")}
	ofBytes := publishRaw(t, js, bytesIn, nats.Header{"X-Bytes": {"\xff\xfe"}, "X-Two": {"a", "b"}})
	long := Message{ID: randomID(6 << 10), Subject: "messages.long", Body: []byte("long id")}
	ofLong := publishRaw(t, js, long, nats.Header{})
	r.send(ledger, door, Message{ID: "after", Subject: "messages.body", Body: []byte("after")})
	r.stored(within(t, time.Minute), ledger.Tally().LastSeq)

	conn, err := pgx.Connect(t.Context(), r.url)
	r.must(err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	for seq, m := range map[uint64]Message{ofBytes.Sequence: bytesIn, ofLong.Sequence: long} {
		var id, payload, subject, headers []byte
		r.must(conn.QueryRow(t.Context(), `SELECT msg_id, payload, subject, headers FROM landfall.dead_letters WHERE seq = $1`,
			seq).Scan(&id, &payload, &subject, &headers))
		if string(id) != m.ID || !bytes.Equal(payload, m.Body) || string(subject) != m.Subject {
			t.Errorf("dead letter %d: %d bytes of id, subject %q, body %q", seq, len(id), subject, payload)
		}
		if seq == ofBytes.Sequence && !bytes.Contains(headers, []byte("\xff\xfe")) {
			t.Errorf("its headers are %q", headers)
		}
	}
	// Looked at, they are nothing that the checker would call lost.
	execute(t, r.url, `UPDATE landfall.dead_letters SET resolved_at = now(), resolution = 'discarded'`)
	if v := r.proves(ledger); v.Stored != len(bodies)+1 {
		t.Errorf("verdict %+v", v)
	}
}

// publishRaw publishes with any headers a NATS client may send.
func publishRaw(t *testing.T, js jetstream.JetStream, m Message, h nats.Header) *jetstream.PubAck {
	t.Helper()
	ack, err := js.PublishMsg(within(t, 20*time.Second), &nats.Msg{Subject: m.Subject, Data: m.Body, Header: h}, jetstream.WithMsgID(m.ID))
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// randomID is one that does not compress.
func randomID(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rand.IntN(26))
	}
	return string(b)
}
