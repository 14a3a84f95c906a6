package store

import (
	"bytes"
	"fmt"
	"testing"

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
