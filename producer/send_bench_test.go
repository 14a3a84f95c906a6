package producer

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/message"
)

// lines are count messages with ids under a key, and an end.
type lines struct {
	key      string
	sent, to uint64
	body     []byte
}

func (l *lines) next() (item, error) {
	if l.sent == l.to {
		return item{}, io.EOF
	}
	l.sent++
	return item{n: l.sent, m: lineOf(l.key, l.sent, l.body)}, nil
}

func lineOf(key string, n uint64, body []byte) *incoming {
	id := fmt.Sprintf("%s/%d", key, n)
	return &incoming{stream: "MESSAGES", subject: "messages", id: id, header: nats.Header{message.IDHeader: {id}}, data: body}
}

// hall is a room without walls.
type hall struct{}

func (hall) take(int) bool { return true }
func (hall) give(int)      {}

// benchStream is one file stream on one server, over the connection a node
// would use.
func benchStream(b *testing.B) (*nats.Conn, jetstream.JetStream) {
	s := startServer(b, &server.Options{StoreDir: b.TempDir()})
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(windowMessages))
	if err != nil {
		b.Fatal(err)
	}
	createStreams(b, js, 1)
	return nc, js
}

// BenchmarkSend is a batch of 256-byte lines, and BenchmarkPublishAsync the
// same by nats.go. The ratio counts.
func BenchmarkSend(b *testing.B) {
	nc, js := benchStream(b)
	d := New(Options{Streams: theStreams})
	b.ReportAllocs()
	b.ResetTimer()
	got, err := d.send(b.Context(), &Backend{Publisher: js, Stored: storedIn(js), Conn: nc}, "MESSAGES", hall{}, &lines{key: "k", to: uint64(b.N), body: bytes.Repeat([]byte("x"), 256)}, nil)
	if err != nil || got.acked != uint64(b.N) {
		b.Fatal(got, err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkPublishAsync(b *testing.B) {
	_, js := benchStream(b)
	body := bytes.Repeat([]byte("x"), 256)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range uint64(b.N) {
		if _, err := js.PublishMsgAsync(lineOf("k", n+1, body).msg(), jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
