package sink

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"landfall/message"
)

// What the log says of an outage is told from what happens, one line for
// each turn, and not again while nothing changes.
func TestOutageLog(t *testing.T) {
	const (
		warn  = "WARN not storing now; messages are kept in the stream"
		still = "DEBUG still not storing"
		pause = "ERROR the stream is paused until the set-up is mended; messages are kept"
		again = "INFO storing again"
		here  = "INFO this node stores the stream now"
		there = "INFO another node stores the stream now"
	)
	away := errors.New("connection refused")
	right := &message.SetupError{Reason: "copy", Advice: "grant INSERT", Err: errors.New("permission denied")}
	table := &message.SetupError{Reason: "copy", Advice: "migrate", Err: errors.New("no such table")}
	type step = func(o *outage, log *slog.Logger)
	began := func(o *outage, log *slog.Logger) { o.began(log, away) }
	ended := func(o *outage, log *slog.Logger) { o.ended(log) }
	activated := func(o *outage, log *slog.Logger) { o.activated(log, 7) }
	handed := func(o *outage, log *slog.Logger) { o.handedOver(log, away) }
	paused := func(err *message.SetupError) step {
		return func(o *outage, log *slog.Logger) { o.pausedFor(log, err) }
	}
	later := func(d time.Duration) step {
		return func(*outage, *slog.Logger) { wait(context.Background(), d) }
	}
	tests := map[string]struct {
		steps []step
		want  []string
	}{
		"all is well":          {[]step{activated, ended, ended, activated, ended}, []string{here}},
		"an outage":            {[]step{activated, began, began, began, ended, ended}, []string{here, warn, still, still, again}},
		"two outages":          {[]step{began, ended, began, ended}, []string{warn, again, warn, again}},
		"an outage from start": {[]step{began, began, activated, ended}, []string{warn, still, here, again}},
		"a pause":              {[]step{paused(right), paused(right), ended}, []string{pause, again}},
		"a pause that lasts":   {[]step{paused(right), later(repeatAfter - 1), paused(right), later(1), paused(right), paused(right)}, []string{pause, pause}},
		"another reason":       {[]step{paused(right), paused(table), paused(table)}, []string{pause, pause}},
		"paused again later":   {[]step{paused(right), ended, paused(right)}, []string{pause, again, pause}},
		"outage, then pause":   {[]step{began, paused(right), ended}, []string{warn, pause, again}},
		"handed over":          {[]step{activated, began, handed, activated}, []string{here, warn, there, here}},
		"handed over twice":    {[]step{activated, handed, handed}, []string{here, there}},
		"trouble elsewhere":    {[]step{activated, began, handed, activated, ended}, []string{here, warn, there, here}},
		"never began":          {[]step{handed}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				var o outage
				for _, step := range tt.steps {
					step(&o, slog.New(recorder{w}))
				}
				var got []string
				for _, l := range w.log {
					got = append(got, l.level.String()+" "+l.message)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("log\n%q, want\n%q", got, tt.want)
				}
			})
		})
	}
}
