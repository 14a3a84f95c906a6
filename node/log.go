package node

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// serverLog hands the embedded server's log to slog. The server is talkative:
// its notices become debug lines, so that a normal start prints next to
// nothing; its warnings and errors keep their level, while it runs.
type serverLog struct {
	log      *slog.Logger
	stopping *atomic.Bool // what fails while all is being closed is no news
	fatal    func(error)  // Fatalf returns to the server: somebody must end the process
	repeats  repeats
}

// chatter are the beginnings of warnings and errors that a start or a change
// of leaders brings with nothing being wrong. Nodes are started one after the
// other, for one; WaitReady says who is missing.
var chatter = [...]string{
	"Error trying to connect to route",
	"JetStream is not current with the meta leader",
	"JetStream has not established contact with a meta leader",
	"Metalayer blocking snapshot",
	"Waiting for routing to be established",
}

// recovery is what the server warns of when it starts after a kill -9, behind
// the name of the stream: it finds the state file older than the messages,
// and reads the messages.
var recovery = [...]string{
	"Recovering stream state from index errored: prior state file",
	"Stream state outdated",
}

// isChatter tells whether a warning or an error is one of those.
func isChatter(text string) bool {
	for _, c := range chatter {
		if strings.HasPrefix(text, c) {
			return true
		}
	}
	if !strings.HasPrefix(text, "Filestore [") {
		return false
	}
	_, rest, _ := strings.Cut(text, "] ")
	for _, r := range recovery {
		if strings.HasPrefix(rest, r) {
			return true
		}
	}
	return false
}

// writeFailed is in what the server says when a file could not be written: the
// stream, consumer or Raft group it belongs to has stopped for good, while the
// server goes on without it, and the cluster believes that it has a replica.
// Only a restart brings it back, so the process has to end. The server tells
// nobody but its log.
const writeFailed = "ritical write error: "

func (l *serverLog) line(level slog.Level, format string, v []any) {
	if l.stopping.Load() {
		level = min(level, slog.LevelDebug)
	}
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	text := fmt.Sprintf(format, v...)
	if isChatter(text) {
		level = min(level, slog.LevelDebug)
	}
	if level < slog.LevelWarn {
		l.log.Log(context.Background(), level, text)
		return
	}
	say, leftOut := l.repeats.next(alike(text), time.Now())
	switch {
	case !say:
	case leftOut > 0:
		l.log.Log(context.Background(), level, text, "more_like_it", leftOut)
	default:
		l.log.Log(context.Background(), level, text)
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.line(slog.LevelDebug-4, format, v) }

// Errorf also ends the process when the server can no longer write.
func (l *serverLog) Errorf(format string, v ...any) {
	l.line(slog.LevelError, format, v)
	if text := fmt.Sprintf(format, v...); strings.Contains(text, writeFailed) && !l.stopping.Load() {
		l.fatal(fmt.Errorf("nats-server: %s", text))
	}
}

// Fatalf is how the server says that it cannot go on, and then goes on.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.fatal(fmt.Errorf("nats-server: "+format, v...))
}

// The server says the same at every attempt of somebody who knocks with a
// wrong token, which may be several times a second and for ever. One of like
// lines in every repeatPause is logged, with how many were left out since the
// one before. Who knocks chooses what parts of a line say, so the kinds that
// are told apart are limited; beyond, all lines are alike.
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

// alike is what a line has in common with its repeats. Behind a refused
// attempt stands the name that the other side has made up.
func alike(text string) string {
	if !connection.MatchString(text) {
		return text
	}
	text = number.ReplaceAllString(text, "")
	if who, _, refused := strings.Cut(text, refusedAttempt); refused {
		return who + refusedAttempt
	}
	return text
}

const refusedAttempt = " - authentication error"
