package producer

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// trickle is a connection that brings so many bytes after every pause, and
// knows deadlines.
type trickle struct {
	bytes    int
	pause    time.Duration
	left     int // reads until the end
	deadline time.Time
}

func (c *trickle) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	until := time.Now().Add(c.pause)
	late := !c.deadline.IsZero() && c.deadline.Before(until)
	if late {
		until = c.deadline
	}
	<-time.After(time.Until(until))
	if late {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(p, strings.Repeat("x", c.bytes)), nil
}

func (c *trickle) setDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

// How slow a batch may be: every read has a deadline, and all of them together
// need a rate; but time in which nobody reads is nobody's fault.
func TestPacedBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conn    trickle
		holding time.Duration // between reads
		err     error
		within  time.Duration // of waiting
	}{
		"fast":                       {conn: trickle{bytes: 1 << 10, pause: time.Millisecond, left: 1000}, err: io.EOF, within: 2 * time.Second},
		"slow enough":                {conn: trickle{bytes: 1 << 10, pause: 900 * time.Millisecond, left: 1000}, err: io.EOF, within: 900 * time.Second},
		"a little too slow":          {conn: trickle{bytes: 1 << 10, pause: 1100 * time.Millisecond, left: 1000}, err: errBodySlow, within: 23 * time.Second},
		"byte by byte":               {conn: trickle{bytes: 1, pause: 10 * time.Millisecond, left: 1 << 30}, err: errBodySlow, within: 21 * time.Second},
		"stalled":                    {conn: trickle{bytes: 1 << 10, pause: time.Hour, left: 1}, err: errBodySlow, within: 20 * time.Second},
		"large pieces, almost late":  {conn: trickle{bytes: 32 << 10, pause: 19 * time.Second, left: 10}, err: io.EOF, within: 190 * time.Second},
		"held for hours in between":  {conn: trickle{bytes: 1 << 10, pause: time.Millisecond, left: 100}, holding: time.Hour, err: io.EOF, within: time.Second},
		"little, and at its own end": {conn: trickle{bytes: 1, pause: 19 * time.Second, left: 1}, err: io.EOF, within: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				whole := false
				p := &pacedBody{body: &c.conn, deadline: c.conn.setDeadline, timeout: 20 * time.Second, whole: func() { whole = true }}
				buf := make([]byte, 64<<10)
				var err error
				for err == nil {
					<-time.After(c.holding)
					_, err = p.Read(buf)
				}
				if !errors.Is(err, c.err) || p.waited > c.within {
					t.Errorf("%v after %v of waiting", err, p.waited)
				}
				if _, again := p.Read(buf); again.Error() != err.Error() {
					t.Errorf("then: %v", again)
				}
				if ended := errors.Is(c.err, io.EOF); whole != ended || ended != c.conn.deadline.IsZero() {
					t.Errorf("whole: %v, deadline %v", whole, c.conn.deadline)
				}
			})
		})
	}
}
