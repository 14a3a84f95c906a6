package node

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
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
	own      repeats      // of what the server says of itself
	others   repeats      // of what it says of those who connect
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
// nobody but its log. Such a line begins with what it is about: in a line about
// a connection the words may come from whoever connects.
var writeFailed = regexp.MustCompile(`^(Filestore|JetStream|RAFT) .*[Cc]ritical write error: `)

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
	seen := &l.own
	kind, others := alike(text)
	if others {
		seen = &l.others
	}
	say, leftOut := seen.next(kind, time.Now())
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
	if text := fmt.Sprintf(format, v...); writeFailed.MatchString(text) && !l.stopping.Load() {
		l.fatal(fmt.Errorf("nats-server: %s", text))
	}
}

// Fatalf is how the server says that it cannot go on, and then goes on.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.fatal(fmt.Errorf("nats-server: "+format, v...))
}
