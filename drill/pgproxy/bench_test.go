package pgproxy_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"landfall/drill/pgproxy"
)

// What one connection carries: COPY data in the pieces in which pgx sends it,
// to a server that only takes them. The trap that never springs has every
// piece looked at.
func BenchmarkCarry(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	taken := make(chan int64, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, _ := io.Copy(struct{ io.Writer }{io.Discard}, conn)
		taken <- n
	}()
	p, err := pgproxy.Listen(b.Context(), "127.0.0.1:0", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // of a benchmark
	p.CutAt(pgproxy.Point{Statement: isCommit, Moment: pgproxy.Flowing}, 1)
	conn, err := net.Dial("tcp", p.Address())
	if err != nil {
		b.Fatal(err)
	}
	startup := []byte{0, 0, 0, 9, 0, 3, 0, 0, 0}
	piece := make([]byte, 64<<10)
	piece[0] = 'd'
	binary.BigEndian.PutUint32(piece[1:], uint32(len(piece)-1))
	if _, err := conn.Write(startup); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(piece)))
	for b.Loop() {
		if _, err := conn.Write(piece); err != nil {
			b.Fatal(err)
		}
	}
	conn.Close()
	if n := <-taken; n != int64(len(startup)+b.N*len(piece)) {
		b.Errorf("%d bytes of %d pieces", n, b.N)
	}
}

// The same from a real Postgres, which has more to do than the proxy.
func BenchmarkCopyOut(b *testing.B) {
	bench := newBench(b)
	conn := bench.connect()
	const size = 64 << 20
	b.SetBytes(size)
	for b.Loop() {
		if _, err := conn.PgConn().CopyTo(context.Background(), io.Discard,
			`COPY (SELECT repeat('x', 1023) FROM generate_series(1, 65536)) TO STDOUT`); err != nil {
			b.Fatal(err)
		}
	}
}
