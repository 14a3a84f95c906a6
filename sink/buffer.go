package sink

import (
	"context"
	"sync"
	"time"

	"landfall/message"
)

// A batch is as large as what came while the one before it was committed, up
// to these.
const (
	maxRows  = 20_000
	maxBytes = 8 << 20
)

// buffer is where the next batch fills, and is encoded, while the one before
// it is being committed. One goroutine puts, another takes.
type buffer struct {
	encode func(dst []byte, m *message.Message) []byte

	mu      sync.Mutex
	batch   *message.Batch
	next    uint64 // sequence that is due
	rows    int    // limit
	err     error  // why nothing more will come
	filled  chan struct{}
	emptied chan struct{}
}

func newBuffer(encode func([]byte, *message.Message) []byte, next uint64, rows int) *buffer {
	return &buffer{
		encode: encode, batch: &message.Batch{}, next: next, rows: rows,
		filled: make(chan struct{}, 1), emptied: make(chan struct{}, 1),
	}
}

// put adds delivered messages, waiting while the batch is full. It fails at
// the first one that is not due, having kept those before it.
func (b *buffer) put(ctx context.Context, ms []message.Message) error {
	for len(ms) > 0 {
		n, err := b.add(ms)
		if n > 0 {
			signal(b.filled)
		}
		if err != nil {
			return err
		}
		ms = ms[n:]
		if len(ms) == 0 {
			break
		}
		select {
		case <-b.emptied:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// add takes messages until the batch is full and returns how many it took.
func (b *buffer) add(ms []message.Message) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range ms {
		m := &ms[i]
		accept, err := due(b.next, m.Seq)
		if err != nil {
			return i, err
		}
		if !accept {
			continue
		}
		if b.full(m.Size()) {
			return i, nil
		}
		b.batch.Messages = append(b.batch.Messages, *m)
		b.batch.Rows = b.encode(b.batch.Rows, m)
		b.batch.Size += m.Size()
		b.next++
	}
	return len(ms), nil
}

// full tells whether a message of that size has to wait for the next batch.
// An empty batch takes any message.
func (b *buffer) full(size int) bool {
	return len(b.batch.Messages) > 0 && (len(b.batch.Messages) >= b.rows || b.batch.Size+size > maxBytes)
}

// take swaps the batch for the spare one as soon as there is anything in it.
// It returns nil after idle time without any message, and an error once the
// source has failed and everything before that was taken.
func (b *buffer) take(ctx context.Context, spare *message.Batch, idle time.Duration) (*message.Batch, error) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		b.mu.Lock()
		if len(b.batch.Messages) > 0 {
			full := b.batch
			b.batch = spare
			b.mu.Unlock()
			signal(b.emptied)
			return full, nil
		}
		err := b.err
		b.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-b.filled:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// fail ends the buffer: take returns err when it is empty.
func (b *buffer) fail(err error) {
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
	signal(b.filled)
}

// allow sets how many rows a batch may have.
func (b *buffer) allow(rows int) {
	b.mu.Lock()
	b.rows = rows
	b.mu.Unlock()
}

// signal wakes the one goroutine that waits, now or when it comes to wait.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// limit is how many rows a batch may have: halved when Postgres cancels one,
// doubled again by each that passes.
type limit struct{ now, max int }

func (l *limit) halve() { l.now = max(1, l.now/2) }

func (l *limit) grow() int {
	l.now = min(l.max, l.now*2)
	return l.now
}
