package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"landfall/message"
)

// parseHeaders reads headers as NATS clients do.
func (d *database) parseHeaders(wire []byte) map[string][]string {
	d.Helper()
	if wire == nil {
		return nil
	}
	h, err := nats.DecodeHeadersMsg(wire)
	if err != nil {
		d.Errorf("headers %q: %v", wire, err)
	}
	return h
}

// asStored is the message as its row tells it: Postgres counts microseconds,
// and no body is an empty one.
func asStored(m message.Message) message.Message {
	m.Time = m.Time.Truncate(time.Microsecond).UTC()
	m.Data = append([]byte{}, m.Data...)
	if len(m.Header) == 0 {
		m.Header = nil
	}
	return m
}

func TestMessagesBecomeRows(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	for _, c := range []struct {
		name string
		m    message.Message
		// The columns as text; "" for NULL.
		content, contentBytes, headers, id string
	}{
		{name: "text", m: message.Message{Subject: "orders.new", Data: []byte("Grüße, 世界 🙂")}, content: "Grüße, 世界 🙂"},
		{name: "empty body", m: message.Message{Subject: "orders.new", Data: []byte{}}, content: "(empty)"},
		{name: "no body", m: message.Message{Subject: "orders.new"}, content: "(empty)"},
		{name: "NUL", m: message.Message{Subject: "s", Data: []byte("a\x00b")}, contentBytes: `\x610062`},
		{name: "invalid UTF-8", m: message.Message{Subject: "s", Data: []byte("a\xffb")}, contentBytes: `\x61ff62`},
		{name: "surrogate in UTF-8", m: message.Message{Subject: "s", Data: []byte("\xed\xa0\x80")}, contentBytes: `\xeda080`},
		{name: "overlong UTF-8", m: message.Message{Subject: "s", Data: []byte("\xc0\x80")}, contentBytes: `\xc080`},
		{name: "cut rune", m: message.Message{Subject: "s", Data: []byte("\xe4\xb8")}, contentBytes: `\xe4b8`},
		{name: "last rune", m: message.Message{Subject: "s", Data: []byte("\U0010ffff")}, content: "\U0010ffff"},
		{name: "COPY's own marks", m: message.Message{Subject: `a\tb\N`, Data: []byte("\\.\n\\N\t\r\n")}, content: "\\.\n\\N\t\r\n"},
		{name: "odd subject", m: message.Message{Subject: "größe.\"'`;--\t\x01.*", Data: []byte("x")}, content: "x"},
		{name: "only an id", m: message.Message{Subject: "s", Data: []byte("x"),
			Header: map[string][]string{message.IDHeader: {"only"}}}, content: "x", id: "only"},
		{name: "an id twice", m: message.Message{Subject: "s", Data: []byte("x"),
			Header: map[string][]string{message.IDHeader: {"first", "second"}}},
			content: "x", id: "first", headers: `{"Nats-Msg-Id": ["first", "second"]}`},
		{name: "an empty id", m: message.Message{Subject: "s", Data: []byte("x"),
			Header: map[string][]string{message.IDHeader: {""}, "A": {"b"}}}, content: "x", headers: `{"A": ["b"]}`},
		{name: "headers", m: message.Message{Subject: "s", Data: []byte("x"),
			Header: map[string][]string{message.IDHeader: {"h"}, "Traceparent": {"00-1"}, "X": {"1", "2", ""}}},
			content: "x", id: "h", headers: `{"X": ["1", "2", ""], "Traceparent": ["00-1"]}`},
		{name: "headers to escape", m: message.Message{Subject: "s", Data: []byte("x"),
			Header: map[string][]string{`k"\`: {`"`, `\`, `\u0000`, "\x01\x1f\x7f\t\n", "</ü🙂 "}}},
			content: "x", headers: `{"k\"\\": ["\"", "\\", "\\u0000", "\u0001\u001f` + "\x7f" + `\t\n", "</ü🙂 "]}`},
	} {
		m := c.m
		m.Seq, m.Time = cur.Seq+1, moment(cur.Seq+1)
		out := d.write(s, cur, []message.Message{m})
		cur = out.Cursor
		if out.Rows != 1 || out.Careful {
			t.Errorf("%s: %+v", c.name, out)
		}
		var got [5]string
		var at time.Time
		err := d.pool.QueryRow(t.Context(), `SELECT subject, CASE content WHEN '' THEN '(empty)' ELSE coalesce(content, '') END,
				coalesce(content_bytes::text, ''), coalesce(headers::text, ''), coalesce(msg_id, ''), published_at
				FROM messages WHERE stream_id = $1 AND seq = $2`, cur.StreamID, int64(m.Seq)).
			Scan(&got[0], &got[1], &got[2], &got[3], &got[4], &at)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff([5]string{m.Subject, c.content, c.contentBytes, c.headers, c.id}, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if want := m.Time.Truncate(time.Microsecond); !at.Equal(want) {
			t.Errorf("%s: published at %v, want %v", c.name, at, want)
		}
	}
	if n := one[int64](d, `SELECT count(*) FROM messages WHERE stored_at BETWEEN now() - interval '1 minute' AND now()`); n != int64(cur.Seq) {
		t.Errorf("stored_at is right in %d of %d rows", n, cur.Seq)
	}
}

// Whatever Postgres can hold comes back as it was sent.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, cur := d.stream()
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(storable(), 1, 20).Draw(t, "messages")
		for i := range ms {
			ms[i].Seq = cur.Seq + 1 + uint64(i)
			if ids := ms[i].Header[message.IDHeader]; len(ids) > 0 {
				ids[0] = fmt.Sprintf("%d %s", ms[i].Seq, ids[0])
			}
		}
		out, err := s.Write(d.Context(), cur, batchOf(s, ms))
		if err != nil {
			t.Fatal(err)
		}
		if want := (message.Outcome{Cursor: out.Cursor, Rows: len(ms)}); out != want {
			t.Fatalf("%+v", out)
		}
		rows := d.rows(cur.StreamID)
		for _, m := range ms {
			if diff := cmp.Diff(asStored(m), rows[m.Seq]); diff != "" {
				t.Fatal(diff)
			}
		}
		cur = out.Cursor
		d.exec(`DELETE FROM messages`)
	})
}

// storable makes messages that Postgres can hold: NUL only in bodies.
func storable() *rapid.Generator[message.Message] {
	text := rapid.Map(rapid.OneOf(rapid.String(), rapid.StringMatching(`["\\/\x01-\x1fü🙂]{0,8}`)), func(s string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "")
	})
	body := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(text, func(s string) []byte { return []byte(s) }), rapid.Just[[]byte](nil))
	keys := rapid.OneOf(text, rapid.Just(message.IDHeader))
	headers := rapid.MapOfN(keys, rapid.SliceOfN(text, 1, 3), 0, 4)
	return rapid.Custom(func(t *rapid.T) message.Message {
		return message.Message{
			Subject: text.Draw(t, "subject"),
			Header:  headers.Draw(t, "headers"),
			Data:    body.Draw(t, "body"),
			Time:    time.Unix(0, rapid.Int64Min(0).Draw(t, "time")),
		}
	})
}

// Encode appends, and nothing it was given is touched.
func TestEncodeAppends(t *testing.T) {
	t.Parallel()
	s := &Stream{id: 7}
	rapid.Check(t, func(t *rapid.T) {
		m := storable().Draw(t, "message")
		before := message.Message{Subject: m.Subject, Data: slices.Clone(m.Data), Header: maps.Clone(m.Header), Time: m.Time}
		head := []byte("already there")
		got := s.Encode(slices.Clip(head), &m)
		if !bytes.HasPrefix(got, head) || len(got) == len(head) {
			t.Fatalf("appended to %q: %q", head, got)
		}
		if diff := cmp.Diff(before, m); diff != "" {
			t.Fatal(diff)
		}
	})
}

// What NATS clients read of a dead letter's headers is what was sent.
func TestWireHeaders(t *testing.T) {
	t.Parallel()
	for _, h := range []map[string][]string{
		nil,
		{"A": {"b"}},
		{"A": {"b", "", "c"}, "b": {"x: y"}},
		{"Bad": {"\xff\x00"}, "K\x00\xfe": {"v"}},
	} {
		d := &database{TB: t}
		if diff := cmp.Diff(h, d.parseHeaders(wireHeaders(h))); diff != "" {
			t.Error(diff)
		}
	}
}
