package pgproxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// bufferSize is what is read and written at once, each way.
const bufferSize = 64 << 10

// The codes by which a connection asks for encryption first. See "Message
// Formats" in Postgres' manual.
const (
	sslRequest = 80877103
	gssRequest = 80877104
)

// startupLimit is Postgres' own, of the first message.
const startupLimit = 10_000

var (
	errNotPostgres = errors.New("this is not the protocol of Postgres")
	errCut         = errors.New("cut at a point")
)

// conn carries one connection.
type conn struct {
	proxy   *Proxy
	program net.Conn
	talk    *talk
	over    chan struct{} // closed when it has ended, so that nothing waits for it any more

	mu       sync.Mutex
	postgres net.Conn // nil until it is needed
	ended    bool
}

func newConn(p *Proxy, program net.Conn) *conn {
	return &conn{proxy: p, program: program, talk: newTalk(), over: make(chan struct{})}
}

// serve carries the connection until it ends.
func (c *conn) serve() {
	from := bufio.NewReaderSize(c.program, bufferSize)
	first, err := c.begin(from)
	if err == nil {
		err = c.dial(first)
	}
	if err != nil {
		c.end(err)
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		c.end(c.pump(bufio.NewReaderSize(c.postgres, bufferSize), c.program, c.hear))
	})
	c.end(c.pump(from, c.postgres, c.listen))
	answers.Wait()
}

// begin reads what comes before messages have types, says no to encryption,
// and returns the message that Postgres has to see first: the one that begins
// a session, or cancels what another one does, after which nothing follows.
func (c *conn) begin(from *bufio.Reader) ([]byte, error) {
	for {
		head, err := from.Peek(8)
		if err != nil {
			return nil, err
		}
		size, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if size < 8 || size > startupLimit {
			return nil, errNotPostgres
		}
		first := make([]byte, size)
		if _, err := io.ReadFull(from, first); err != nil {
			return nil, err
		}
		if code != sslRequest && code != gssRequest {
			return first, nil
		}
		if _, err := c.onto(c.program).Write([]byte{'N'}); err != nil {
			return nil, err
		}
	}
}

// dial connects to Postgres and gives it the first message.
func (c *conn) dial(first []byte) error {
	if !c.passable() {
		return net.ErrClosed
	}
	postgres, err := net.DialTimeout("tcp", c.proxy.target, dialPatience)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.postgres = postgres
	ended := c.ended
	c.mu.Unlock()
	if ended { // while it was dialled
		abort(postgres)
		return net.ErrClosed
	}
	_, err = c.onto(postgres).Write(first)
	return err
}

// watch looks at a message, of which it is given the beginning. If the
// connection has come to a trap, so much of the message goes on before it
// springs.
type watch func(kind byte, body []byte, size int) (t *Trap, goesOn int)

// listen watches what the program says.
func (c *conn) listen(kind byte, body []byte, size int) (*Trap, int) {
	switch {
	case kind == sendsData:
		if c.proxy.armed.Load() > 0 {
			return c.proxy.reached(Flowing, c.talk.flows()), size / 2
		}
	case matters(kind):
		if s, executes := c.talk.asks(kind, body); executes {
			return c.proxy.reached(Sent, s), 0
		}
	}
	return nil, 0
}

// hear watches what Postgres says.
func (c *conn) hear(kind byte, _ []byte, _ int) (*Trap, int) {
	if answers(kind) {
		if s, done := c.talk.told(kind); done {
			return c.proxy.reached(Answered, s), 0
		}
	}
	return nil, 0
}

// pump carries messages one way until it cannot. What has come goes on before
// more is waited for.
func (c *conn) pump(from *bufio.Reader, socket net.Conn, look watch) error {
	to := bufio.NewWriterSize(c.onto(socket), bufferSize)
	for {
		head, err := await(from, to, 5)
		if err != nil {
			return err
		}
		kind, size := head[0], int(binary.BigEndian.Uint32(head[1:]))+1
		if size < 5 {
			return errNotPostgres
		}
		seen := 5
		if matters(kind) && kind != sendsData {
			seen = min(size, 5+textLimit)
		}
		if head, err = await(from, to, seen); err != nil {
			return err
		}
		if trap, goesOn := look(kind, head[5:], size); trap != nil {
			if err := errors.Join(pass(from, to, goesOn), to.Flush()); err != nil {
				close(trap.over)
				return err
			}
			size -= goesOn
			if err := c.spring(trap); err != nil {
				return err
			}
		}
		if err := pass(from, to, size); err != nil {
			return err
		}
	}
}

// await has n bytes ready to be looked at.
func await(from *bufio.Reader, to *bufio.Writer, n int) ([]byte, error) {
	if from.Buffered() < n {
		if err := to.Flush(); err != nil {
			return nil, err
		}
	}
	b, err := from.Peek(n)
	if err != nil {
		return nil, errors.Join(err, to.Flush())
	}
	return b, nil
}

// pass carries n bytes.
func pass(from *bufio.Reader, to *bufio.Writer, n int) error {
	for n > 0 {
		if _, err := await(from, to, 1); err != nil {
			return err
		}
		b, err := from.Peek(min(n, from.Buffered()))
		if err != nil {
			return err
		}
		if _, err := to.Write(b); err != nil {
			return err
		}
		if _, err := from.Discard(len(b)); err != nil {
			return err
		}
		n -= len(b)
	}
	return nil
}

// spring does what a trap is for.
func (c *conn) spring(t *Trap) error {
	defer close(t.over)
	if t.hold == 0 {
		c.reset()
		return errCut
	}
	c.pause(t.hold)
	return nil
}

// end tells both sides that one of them has gone, the way it went, as soon as
// the way carries even that.
func (c *conn) end(err error) {
	c.passable()
	if errors.Is(err, io.EOF) {
		c.finish(func(s net.Conn) { s.Close() })
	} else {
		c.reset()
	}
}

// reset ends the connection at once, on both sides.
func (c *conn) reset() { c.finish(abort) }

func (c *conn) finish(how func(net.Conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	close(c.over)
	how(c.program)
	if c.postgres != nil {
		how(c.postgres)
	}
}
