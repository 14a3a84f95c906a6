package node

import (
	"regexp"
	"strings"
	"sync"
	"time"
)

// The server says the same at every attempt of somebody who knocks with a
// wrong token, which may be several times a second and for ever. One of like
// lines in every repeatPause is logged, with how many were left out since the
// one before. Who knocks chooses what parts of a line say, so the kinds that
// are told apart are limited; beyond, all lines are alike. What the server says
// of itself is counted apart: nobody who connects can have it left out.
const (
	repeatPause = 10 * time.Second
	repeatKinds = 256
)

// repeats remembers which lines were logged of late.
type repeats struct {
	mu   sync.Mutex
	seen map[string]*repeat
}

// repeat is one kind of line.
type repeat struct {
	said    time.Time
	leftOut int // since then
}

// next tells whether a line of that kind is logged now, and how many were not.
func (r *repeats) next(kind string, now time.Time) (say bool, leftOut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = make(map[string]*repeat)
	}
	if r.seen[kind] == nil && len(r.seen) >= repeatKinds {
		r.forget(now)
		if len(r.seen) >= repeatKinds {
			kind = ""
		}
	}
	k := r.seen[kind]
	switch {
	case k == nil:
		r.seen[kind] = &repeat{said: now}
		return true, 0
	case now.Sub(k.said) < repeatPause:
		k.leftOut++
		return false, 0
	}
	leftOut = k.leftOut
	*k = repeat{said: now}
	return true, leftOut
}

// forget drops the kinds that were not heard of for a while.
func (r *repeats) forget(now time.Time) {
	for kind, k := range r.seen {
		if now.Sub(k.said) >= repeatPause {
			delete(r.seen, kind)
		}
	}
}

// connection is how the server begins a line about one: where it comes from,
// and its number. number is that, and a port: others at every attempt.
var (
	connection = regexp.MustCompile(`^\S+:\d+ - [a-z_]+:\d+ - `)
	number     = regexp.MustCompile(`:\d+\b`)
)

// alike is what a line has in common with its repeats, and whether it is about
// a connection. Behind a refused attempt stands the name that the other side
// has made up.
func alike(text string) (kind string, others bool) {
	if !connection.MatchString(text) {
		return text, false
	}
	text = number.ReplaceAllString(text, "")
	if who, _, refused := strings.Cut(text, refusedAttempt); refused {
		return who + refusedAttempt, true
	}
	return text, true
}

const refusedAttempt = " - authentication error"
