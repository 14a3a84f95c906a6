package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"landfall/message"
)

// full is a batch as it is under load: 5,000 messages of 256 bytes, each under
// an id of its own.
func full(cur message.Cursor) []message.Message {
	body := bytes.Repeat([]byte("landfall"), 256/8)
	return run(cur, 5000, func(_ int, m *message.Message) {
		m.Data = body
		m.Header[message.IDHeader] = []string{fmt.Sprintf("run-7f3a-%012d", m.Seq)}
	})
}

func BenchmarkEncode(b *testing.B) {
	s := &Stream{id: 1}
	ms := full(message.Cursor{})
	var rows []byte
	for i := range ms {
		rows = s.Encode(rows, &ms[i])
	}
	b.SetBytes(int64(len(rows)))
	b.ReportAllocs()
	for b.Loop() {
		rows = rows[:0]
		for i := range ms {
			rows = s.Encode(rows, &ms[i])
		}
	}
	b.ReportMetric(float64(b.N*len(ms))/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkWrite(b *testing.B) {
	d := newDatabase(b)
	s, cur := d.stream()
	batch := &message.Batch{}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		*batch = *batchOf(s, full(cur))
		b.StartTimer()
		out, err := s.Write(b.Context(), cur, batch)
		if err != nil {
			b.Fatal(err)
		}
		cur = out.Cursor
	}
	b.ReportMetric(float64(cur.Seq)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRepeats holds streams whose batches repeat earlier messages, a part
// of each or all of it, against one with nothing but fresh ones. They write in
// turns, so that whatever else the machine does is every stream's lot; the
// figures are the medians, with the fastest and the slowest batch.
func BenchmarkRepeats(b *testing.B) {
	const stored = 20 // batches that there are to be repeated
	type stream struct {
		*Stream
		share int // per cent
		cur   message.Cursor
		took  []time.Duration
	}
	d := newDatabase(b)
	node := d.node("n1")
	var streams []*stream
	for _, share := range []int{0, 1, 50, 100} {
		s := &stream{Stream: node.Stream(fmt.Sprintf("S%d", share)), share: share}
		s.cur = d.enter(s.Stream)
		for range stored {
			s.cur = d.write(s.Stream, s.cur, full(s.cur)).Cursor
		}
		streams = append(streams, s)
	}
	for b.Loop() {
		for _, s := range streams {
			batch := batchOf(s.Stream, repeating(full(s.cur), s.share, stored))
			began := time.Now()
			out, err := s.Write(b.Context(), s.cur, batch)
			s.took = append(s.took, time.Since(began))
			if err != nil {
				b.Fatal(err)
			}
			s.cur = out.Cursor
		}
	}
	for _, s := range streams {
		slices.Sort(s.took)
		b.Logf("%3d %% repeats: %v a batch (%v to %v)", s.share, s.took[len(s.took)/2], s.took[0], s.took[len(s.took)-1])
		b.ReportMetric(5000/s.took[len(s.took)/2].Seconds(), fmt.Sprintf("messages/s-at-%d%%", s.share))
	}
}

// repeating has a share of the messages, in per cent, repeat one of the first
// batches each.
func repeating(ms []message.Message, share, batches int) []message.Message {
	for i := range ms {
		if i*share/100 != (i+1)*share/100 {
			of := ms[i].Seq%uint64(batches*len(ms)) + 1
			ms[i].Header[message.IDHeader] = []string{fmt.Sprintf("run-7f3a-%012d", of)}
		}
	}
	return ms
}
