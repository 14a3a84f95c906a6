package producer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/message"
)

// rangeOf reads ranges as a node does: a direct get of a batch.
func rangeOf(nc *nats.Conn) func(context.Context, string, uint64, uint64) ([]message.Message, error) {
	return func(ctx context.Context, stream string, first, last uint64) (found []message.Message, err error) {
		sub, err := nc.SubscribeSync(nc.NewInbox())
		if err != nil {
			return nil, err
		}
		defer func() { _ = sub.Unsubscribe() }()
		request, err := json.Marshal(map[string]any{"seq": first, "batch": last - first + 1, "max_bytes": rangeBytes})
		if err == nil {
			err = nc.PublishRequest("$JS.API.DIRECT.GET."+stream, sub.Subject, request)
		}
		for err == nil {
			var m *nats.Msg
			if m, err = sub.NextMsgWithContext(ctx); err != nil || m.Header.Get("Status") != "" {
				break
			}
			seq, _ := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
			found = append(found, message.Message{Seq: seq, Subject: m.Header.Get(jetstream.SubjectHeader), Header: m.Header, Data: m.Data})
		}
		return found, err
	}
}

func backendOf(nc *nats.Conn, js jetstream.JetStream) Backend {
	return Backend{Publisher: js, Stored: storedIn(js), Range: rangeOf(nc), Conn: nc}
}

// checkStored reads a stream back: the items from 1 to count, each once, in
// order if told so.
func checkStored(t testing.TB, nc *nats.Conn, key string, count uint64, inOrder bool) {
	t.Helper()
	var all []message.Message
	eventually(t, "the stream is read back", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		next := uint64(len(all) + 1)
		found, _ := rangeOf(nc)(ctx, "MESSAGES", next, next+999) // in a slow moment nobody answers
		all = append(all, found...)
		return len(found) == 0 && uint64(len(all)) >= count
	})
	seen := map[string]bool{}
	for i, m := range all {
		n, err := strconv.ParseUint(m.ID()[len(key)+1:], 10, 64)
		if err != nil || seen[m.ID()] || n > count || m.Seq != uint64(i+1) || inOrder && n != m.Seq {
			t.Fatalf("%q is at %d, %v, seen %v", m.ID(), m.Seq, err, seen[m.ID()])
		}
		seen[m.ID()] = true
	}
	if len(all) != int(count) {
		t.Errorf("%d messages in the stream, want %d", len(all), count)
	}
}

// A batch, then the same again, then with another line in it.
func TestSendOnAServer(t *testing.T) {
	t.Parallel()
	d, nc, js := opened(t, Options{})
	b, room := backendOf(nc, js), &cell{}
	var singles int
	stored := b.Stored
	b.Stored = func(ctx context.Context, stream string, seq uint64) (message.Message, bool, error) {
		singles++
		return stored(ctx, stream, seq)
	}
	const count = 5000
	send := func(in items, want tally) tally {
		t.Helper()
		got, err := d.send(t.Context(), &b, "MESSAGES", room, in, nil)
		if err := errors.Join(err, room.check()); err != nil {
			t.Fatal(err)
		}
		if got.acked != want.acked || got.duplicates != want.duplicates || got.refused != want.refused || got.through != count ||
			got.first != want.first || got.last != want.last || got.lastID != want.lastID || got.lastOld != want.lastOld {
			t.Fatalf("%+v, want %+v", got, want)
		}
		return got
	}
	send(&lines{key: "k", to: count, body: []byte("x")}, tally{acked: count, first: 1, last: count, lastID: "k/5000"})
	checkStored(t, nc, "k", count, true)
	send(&lines{key: "k", to: count, body: []byte("x")}, tally{acked: count, duplicates: count, first: 1, last: count, lastID: "k/5000", lastOld: true})
	if singles > count/100 {
		t.Errorf("%d of %d repeats were read one by one", singles, count)
	}
	other := numbered(0)
	for n := range uint64(count) {
		m := lineOf("k", n+1, []byte("x"))
		switch n {
		case 1000:
			m.data = []byte("y")
		case 2000:
			m.subject = "messages.other"
		}
		other = append(other, item{n: n + 1, m: m})
	}
	other[3000] = item{n: 3001, err: errLine}
	got := send(&listed{items: other}, tally{acked: count - 3, duplicates: count - 3, refused: 3, first: 1, last: count, lastID: "k/5000", lastOld: true})
	for i, want := range []refusedItem{{1001, errKeyReused}, {2001, errKeyReused}, {3001, errLine}} {
		if p := got.problems[i]; p.n != want.n || !errors.Is(p.err, want.err) {
			t.Errorf("problem %d: %v", i, p)
		}
	}
}

// The limits of stream and server.
func TestSendRefusedByTheServer(t *testing.T) {
	t.Parallel()
	d, nc, js := opened(t, Options{Deadline: 1500 * time.Millisecond})
	b := backendOf(nc, js)
	all := numbered(3)
	all[1].m.data = make([]byte, 2<<20)
	got, err := d.send(t.Context(), &b, "MESSAGES", hall{}, &listed{items: all}, nil)
	if err != nil || got.acked != 2 || len(got.problems) != 1 || !errors.Is(got.problems[0].err, errTooLarge) {
		t.Error(got, err)
	}
	var small []item
	for _, it := range numbered(5) {
		it.m.stream, it.m.subject = "SMALL", "small.a"
		small = append(small, it)
	}
	got, err = d.send(t.Context(), &b, "SMALL", hall{}, &listed{items: small}, nil)
	if !errors.Is(err, errStreamFull) || got.acked != 2 || got.through != 2 {
		t.Error(got, err)
	}
	// Nobody takes the subject.
	nowhere := numbered(2)
	nowhere[0].m.subject, nowhere[1].m.subject = "nowhere", "nowhere"
	if got, err = d.send(t.Context(), &b, "MESSAGES", hall{}, &listed{items: nowhere}, nil); !errors.Is(err, nats.ErrNoResponders) || got.through != 0 {
		t.Error(got, err)
	}
	nc.Close()
	if _, err = d.send(t.Context(), &b, "MESSAGES", hall{}, &listed{items: numbered(2)}, nil); !errors.Is(err, errStopping) {
		t.Error(err)
	}
}

// A server that restarts in the middle of a batch.
func TestSendOverARestart(t *testing.T) {
	t.Parallel()
	o := &server.Options{StoreDir: t.TempDir(), Port: freePorts(t, 1)[0]}
	first := startServer(t, o.Clone())
	nc, js := dial(t, first)
	createStreams(t, js, 1)
	d := New(Options{Streams: theStreams})
	b := backendOf(nc, js)
	const count = 20_000
	in := &paced{listed: listed{items: numbered(count)}}
	in.before = func() {
		if len(in.items) == count/2 {
			stopServer(first)
			startServer(t, o)
		}
	}
	got, err := d.send(t.Context(), &b, "MESSAGES", hall{}, in, nil)
	if err != nil || got.acked != count || got.duplicates != 0 || got.through != count {
		t.Fatal(got, err)
	}
	checkStored(t, nc, "k", count, false)
}

// With three servers, the leader steps down and later dies in the middle of a
// batch that goes through another one.
func TestSendWhileTheLeaderMoves(t *testing.T) {
	t.Parallel()
	servers, conns, streams := startServers(t)
	createStreams(t, streams[0], 3)
	leads := func() int {
		for i, s := range servers {
			if s.JetStreamIsStreamLeader("$G", "MESSAGES") {
				return i
			}
		}
		return -1
	}
	eventually(t, "a leader", func() bool { return leads() >= 0 })
	// The door is at a node that does not lead, nor does when the leader dies.
	door := (leads() + 1) % 3
	d := New(Options{Streams: theStreams})
	b := backendOf(conns[door], streams[door])
	if err := d.Open(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	const count = 12_000
	in := &paced{listed: listed{items: numbered(count)}}
	in.before = func() {
		switch len(in.items) {
		case count * 3 / 4, count / 2:
			eventually(t, "the leader steps down", func() bool {
				_, err := conns[door].Request("$JS.API.STREAM.LEADER.STEPDOWN.MESSAGES", nil, 500*time.Millisecond)
				return err == nil
			})
		case count / 4:
			eventually(t, "a leader dies that is not the door's", func() bool {
				l := leads()
				if l == door {
					_, _ = conns[door].Request("$JS.API.STREAM.LEADER.STEPDOWN.MESSAGES", nil, 500*time.Millisecond)
				}
				if l < 0 || l == door {
					return false
				}
				stopServer(servers[l])
				return true
			})
		}
	}
	got, err := d.send(t.Context(), &b, "MESSAGES", hall{}, in, nil)
	if err != nil || got.acked != count || got.duplicates != 0 || got.through != count {
		t.Fatal(got, err)
	}
	checkStored(t, conns[door], "k", count, false)
	// And all of it again.
	got, err = d.send(t.Context(), &b, "MESSAGES", hall{}, &listed{items: numbered(count)}, nil)
	if err != nil || got.acked != count || got.duplicates != count {
		t.Fatal(got, err)
	}
}

// What comes back is read as it is.
func TestReadAnswers(t *testing.T) {
	t.Parallel()
	l := &natsLane{stream: "MESSAGES", prefix: "_INBOX.x.", plain: `{"stream":"MESSAGES","seq":`}
	for data, want := range map[string]jetstream.PubAck{
		`{"stream":"MESSAGES","seq":12}`:                                {Stream: "MESSAGES", Sequence: 12},
		`{"stream":"MESSAGES","seq":12,"duplicate": true}`:              {Stream: "MESSAGES", Sequence: 12, Duplicate: true},
		`{"stream":"MESSAGES","seq":12,"duplicate":true}`:               {Stream: "MESSAGES", Sequence: 12, Duplicate: true},
		`{"stream":"OTHER","seq":12}`:                                   {Stream: "OTHER", Sequence: 12},
		`{"stream":"MESSAGES","domain":"d","seq":12,"duplicate": true}`: {Stream: "MESSAGES", Domain: "d", Sequence: 12, Duplicate: true},
	} {
		got, ok := l.read(&nats.Msg{Subject: "_INBOX.x.17-3", Data: []byte(data)})
		if !ok || got.err != nil || got.ack != want || got.tag != (tag{17, 3}) {
			t.Errorf("%s: %+v", data, got)
		}
	}
	for data, want := range map[string]error{
		`{"error":{"code":503,"err_code":10077,"description":"x"}}`: &jetstream.APIError{Code: 503, ErrorCode: 10077},
		`{"stream":"MESSAGES","seq":}`:                              jetstream.ErrInvalidJSAck,
		`{"stream":"MESSAGES","seq":0}`:                             jetstream.ErrInvalidJSAck,
		`{}`:                                                        jetstream.ErrInvalidJSAck,
		`hello`:                                                     jetstream.ErrInvalidJSAck,
		``:                                                          jetstream.ErrInvalidJSAck,
	} {
		got, ok := l.read(&nats.Msg{Subject: "_INBOX.x.17-3", Data: []byte(data)})
		if !ok || !errors.Is(got.err, want) {
			t.Errorf("%s: %+v", data, got)
		}
	}
	if got, _ := l.read(&nats.Msg{Subject: "_INBOX.x.1-1", Header: nats.Header{"Status": {"503"}}}); !errors.Is(got.err, nats.ErrNoResponders) {
		t.Error(got)
	}
	for _, subject := range []string{"_INBOX.x.", "_INBOX.x.1", "_INBOX.x.-1", "_INBOX.x.1-", "_INBOX.x.a-1", "_INBOX.x.1-1-1"} {
		if got, ok := l.read(&nats.Msg{Subject: subject, Data: []byte(`{"stream":"MESSAGES","seq":12}`)}); ok {
			t.Errorf("%s: %+v", subject, got)
		}
	}
}

// BenchmarkSendRepeats sends a batch again inside the duplicate window.
func BenchmarkSendRepeats(b *testing.B) {
	nc, js := benchStream(b)
	d, back := New(Options{Streams: theStreams}), backendOf(nc, js)
	again := func() tally {
		got, err := d.send(b.Context(), &back, "MESSAGES", hall{}, &lines{key: "k", to: uint64(b.N), body: bytes.Repeat([]byte("x"), 256)}, nil)
		if err != nil {
			b.Fatal(got, err)
		}
		return got
	}
	again()
	b.ReportAllocs()
	b.ResetTimer()
	if got := again(); got.duplicates != uint64(b.N) {
		b.Fatalf("%+v", got)
	}
}
