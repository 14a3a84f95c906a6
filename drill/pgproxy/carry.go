package pgproxy

import (
	"io"
	"net"
	"time"
)

// onto writes to a socket as fast as the way allows.
func (c *conn) onto(socket net.Conn) io.Writer { return &lane{c, socket} }

type lane struct {
	*conn
	socket net.Conn
}

// slice is how long the pieces take that a slow way carries at once.
const slice = 50 * time.Millisecond

func (l *lane) Write(b []byte) (n int, err error) {
	for first := true; len(b) > 0; first = false {
		if !l.passable() {
			return n, net.ErrClosed
		}
		now, _ := l.proxy.now()
		piece := b
		if now.rate > 0 {
			piece = b[:min(len(b), max(1, int(float64(now.rate)*slice.Seconds())))]
			l.pause(time.Duration(float64(len(piece)) / float64(now.rate) * float64(time.Second)))
		}
		if first {
			l.pause(now.delay)
		}
		if !l.passable() { // it took a while
			return n, net.ErrClosed
		}
		wrote, err := l.socket.Write(piece)
		n += wrote
		if err != nil {
			return n, err
		}
		b = b[wrote:]
	}
	return n, nil
}

// passable waits until something may be carried; false: never again.
func (c *conn) passable() bool {
	for {
		_, mended := c.proxy.now()
		if mended == nil {
			return !closed(c.over)
		}
		select {
		case <-c.over:
			return false
		case <-mended:
		}
	}
}

func (c *conn) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.over:
	case <-t.C:
	}
}
