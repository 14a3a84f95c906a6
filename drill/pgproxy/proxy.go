// Package pgproxy stands between a program and its Postgres and can be told to
// misbehave: to carry nothing, or little, or to cut connections, at any moment
// or at points that it knows because it reads the protocol: when COMMIT is
// sent, when its answer comes, in the middle of a COPY.
//
// Proxy listens and knows its connections; conn carries one of them, talk
// follows what is said on it, and a Trap waits for a Point in it.
package pgproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// dialPatience bounds the way from here to Postgres, which is near.
const dialPatience = 5 * time.Second

// acceptPause is the wait after a connection that could not be accepted, as
// when there are no file descriptors left.
const acceptPause = 10 * time.Millisecond

// Proxy is one way to a Postgres. What goes wrong on one connection ends that
// connection alone. Its methods may be called from several goroutines.
type Proxy struct {
	listener net.Listener
	target   string
	over     chan struct{} // closed by Close
	work     sync.WaitGroup
	armed    atomic.Int32 // how many traps there are, so that those who carry need no lock to know that there are none

	mu     sync.Mutex
	conns  map[*conn]struct{}
	traps  []*Trap
	state  state
	mended chan struct{} // closed when what makes connections wait is over; nil: nothing does
}

// state is how a way is.
type state struct {
	cut   bool
	rate  int // bytes a second each way; 0: as many as come
	delay time.Duration
}

// Listen opens a way from an address (host:port, or host:0 for a free one) to
// the Postgres at target, which need not run yet. ctx bounds the opening alone.
// Whoever gets a proxy must Close it.
func Listen(ctx context.Context, address, target string) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open a way to Postgres: %w", err)
	}
	p := &Proxy{listener: l, target: target, over: make(chan struct{}), conns: make(map[*conn]struct{})}
	p.work.Go(p.accept)
	return p, nil
}

// Address is where it listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// URL is a connection URL of Postgres' with this way in place of its host and
// port.
func (p *Proxy) URL(original string) string {
	u, err := url.Parse(original)
	if err != nil {
		u = &url.URL{Scheme: "postgres"} // whose error would show the password
	}
	u.Host = p.Address()
	return u.String()
}

// Close cuts everything and returns when nothing of it runs any more.
func (p *Proxy) Close() error {
	p.mu.Lock()
	first := !closed(p.over)
	if first {
		close(p.over)
	}
	p.mu.Unlock()
	if !first {
		return nil
	}
	err := p.listener.Close()
	p.Reset()
	p.work.Wait()
	if err != nil {
		return fmt.Errorf("close a way to Postgres: %w", err)
	}
	return nil
}

func (p *Proxy) accept() {
	for {
		socket, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			select {
			case <-p.over:
				return
			case <-time.After(acceptPause):
			}
		default:
			p.take(socket)
		}
	}
}

// take begins with a new connection, unless the way is cut.
func (p *Proxy) take(socket net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.cut || closed(p.over) {
		abort(socket)
		return
	}
	c := newConn(p, socket)
	p.conns[c] = struct{}{}
	p.work.Go(func() {
		c.serve()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
	})
}

// Cut resets all connections, and every new one as soon as it is made. (A port
// on which nobody listens any more might be taken by somebody else.)
func (p *Proxy) Cut() {
	p.change(func() { p.state.cut = true })
	p.Reset()
}

// Reset resets all connections once; new ones may be made.
func (p *Proxy) Reset() {
	p.mu.Lock()
	conns := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
}

// Blackhole has nothing carried any more, in either direction: not even that a
// connection has ended. New connections are made, and hear nothing. What is
// given to it meanwhile is carried after Mend, even if who gave it has long
// gone, as a network may deliver late. (Unlike on a dead network the kernels
// on both sides see their data received.)
func (p *Proxy) Blackhole() {
	p.change(func() {
		if p.mended == nil {
			p.mended = make(chan struct{})
		}
	})
}

// Slow carries so many bytes a second each way at most (0: any number), and
// has every burst wait before it goes on.
func (p *Proxy) Slow(bytesPerSecond int, delay time.Duration) {
	p.change(func() { p.state.rate, p.state.delay = bytesPerSecond, delay })
}

// Mend ends Cut, Blackhole and Slow. Traps stay.
func (p *Proxy) Mend() {
	p.change(func() {
		p.state = state{}
		if p.mended != nil {
			close(p.mended)
			p.mended = nil
		}
	})
}

func (p *Proxy) change(how func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how()
}

// now is how the way is, and what to wait for before anything is carried on it.
func (p *Proxy) now() (state, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.mended
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// abort ends a connection in a way that the other side notices as a reset.
func abort(socket net.Conn) {
	if tcp, ok := socket.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it fails only if the connection has ended
	}
	socket.Close()
}
