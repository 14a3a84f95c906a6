package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// serverLog hands the embedded server's log to slog. The server is talkative:
// its notices become debug lines, so that a normal start prints next to
// nothing; its warnings and errors keep their level.
type serverLog struct {
	log   *slog.Logger
	fatal func(error) // Fatalf returns to the server: somebody must end the process
}

// startingTrouble are formats the server logs as errors or warnings while
// nothing is wrong: nodes are started one after the other, and the ones that
// are not there yet cannot be reached. WaitReady says who is missing.
var startingTrouble = [...]string{
	"Error trying to connect to route",
	"JetStream has not established contact with a meta leader",
}

func (l *serverLog) line(level slog.Level, format string, v []any) {
	if level > slog.LevelDebug {
		for _, t := range startingTrouble {
			if strings.HasPrefix(format, t) {
				level = slog.LevelDebug
			}
		}
	}
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, v...))
	}
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
