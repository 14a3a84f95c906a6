package drill

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// narrator tells a run's story in time-stamped lines, and on a terminal keeps
// one line of progress below them.
type narrator struct {
	terminal bool

	mu       sync.Mutex
	out      io.Writer
	progress bool // a progress line stands at the cursor
}

// say writes a line with the time.
func (n *narrator) say(format string, args ...any) {
	n.line(time.Now().Format("15:04:05.000") + "  " + fmt.Sprintf(format, args...))
}

// line writes a line as it is. A reader that went away does not stop the run:
// what counts is its exit code.
func (n *narrator) line(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
	fmt.Fprintln(n.out, text)
}

// show replaces the line of progress.
func (n *narrator) show(format string, args ...any) {
	if !n.terminal {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
	fmt.Fprintf(n.out, format, args...)
	n.progress = true
}

// clear removes the line of progress; the caller holds the lock.
func (n *narrator) clear() {
	if n.progress {
		fmt.Fprint(n.out, "\r\x1b[K")
		n.progress = false
	}
}

// erase removes the line of progress.
func (n *narrator) erase() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
}
