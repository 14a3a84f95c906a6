package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
)

// serverLog hands the embedded server's log to slog. The server is talkative:
// its notices become debug lines, so that a normal start prints next to
// nothing; its warnings and errors keep their level, while it runs.
type serverLog struct {
	log      *slog.Logger
	stopping *atomic.Bool // what fails while all is being closed is no news
	fatal    func(error)  // Fatalf returns to the server: somebody must end the process
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
	l.log.Log(context.Background(), level, text)
}

func (l *serverLog) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.line(slog.LevelDebug-4, format, v) }

// Fatalf is how the server says that it cannot go on, and then goes on.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.fatal(fmt.Errorf("nats-server: "+format, v...))
}
