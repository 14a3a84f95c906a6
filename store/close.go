package store

import "time"

// closeDeadline bounds how long a stop waits for connections.
const closeDeadline = 2 * time.Second

// within returns when f has ended, or after closeDeadline. A connection that
// was given up in the middle of a statement gets a quarter of a minute from
// pgx to cancel it, which a Postgres that hangs uses up; a node that stops
// does not wait for that, and what is left ends by itself.
func within(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	t := time.NewTimer(closeDeadline)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
}
