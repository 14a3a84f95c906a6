package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestChatter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Waiting for routing to be established...":                                                          true,
		"Filestore [S-R3F-c6RBCZ3h] Stream state outdated, last block has additional entries, will rebuild": true,
		"Filestore [MESSAGES] Recovering stream state from index errored: prior state file":                 true,
		"Filestore [MESSAGES] Recovering stream state from index errored: open index.db: permission denied": false,
		"JetStream cluster stream '$G > MESSAGES' has NO quorum, stalled":                                   false,
		"Filestore [Stream state outdated":                                                                  false,
	} {
		if got := isChatter(text); got != want {
			t.Errorf("%s: chatter %v, want %v", text, got, want)
		}
	}
}

func TestAlike(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`10.0.0.7:48788 - rid:39 - authentication error - User "landfall"`:            "10.0.0.7 - rid - authentication error",
		`10.0.0.7:48790 - rid:41 - authentication error`:                              "10.0.0.7 - rid - authentication error",
		`[fd00::2]:1 - cid:4 - authentication error - User "a - b"`:                   "[fd00:] - cid - authentication error",
		`10.0.0.7:1 - rid:1 - Route Error 'Authorization Violation'`:                  "10.0.0.7 - rid - Route Error 'Authorization Violation'",
		`10.0.0.7:1 - cid:1 - "v1:go:x" - Slow Consumer`:                              `10.0.0.7 - cid - "v1:go:x" - Slow Consumer`,
		`10.0.0.7:6 - rid:4 - Error flushing: writev tcp 10.0.0.8:9->[::1]:6: broken`: "10.0.0.7 - rid - Error flushing: writev tcp 10.0.0.8->[:]: broken",
		`JetStream cluster stream '$G > A' has NO quorum, stalled`:                    `JetStream cluster stream '$G > A' has NO quorum, stalled`,
	} {
		if got, others := alike(text); got != want || others == strings.HasPrefix(text, "JetStream") {
			t.Errorf("%s: %q, want %q; about a connection: %v", text, got, want, others)
		}
	}
}

// A server that can no longer write one of its files has to be restarted.
func TestServerLogWriteFailed(t *testing.T) {
	t.Parallel()
	stopping := new(atomic.Bool)
	var fatal []error
	l := &serverLog{log: slog.New(slog.DiscardHandler), stopping: stopping, fatal: func(err error) { fatal = append(fatal, err) }}
	l.Errorf("Slow Consumer")
	l.Warnf("%s", "Error writing term and vote file")
	// Who is not let in may call himself what he likes.
	l.Errorf("10.0.0.7:1 - cid:4 - authentication error - User %q", "RAFT [x] Critical write error: no")
	l.Errorf("1.2.3.4/10.0.0.7:1 - wid:4 - authentication error - User %q", "Critical write error: no")
	if len(fatal) != 0 {
		t.Fatal(fatal)
	}
	l.Errorf("Filestore [MESSAGES] Critical write error: %v", "too many open files")
	l.Errorf("JetStream stream '$G > MESSAGES' critical write error: %v", "too many open files")
	l.Errorf("RAFT [yrzKKRBu - S-R3F-abc] Critical write error: %v", "too many open files")
	if len(fatal) != 3 || !strings.Contains(fatal[0].Error(), "too many open files") {
		t.Errorf("fatal: %v", fatal)
	}
	stopping.Store(true)
	l.Errorf("Filestore [MESSAGES] Critical write error: %v", "closed")
	if len(fatal) != 3 {
		t.Errorf("while stopping: %v", fatal)
	}
}

// Somebody who knocks for ever, under ever other names, does not fill the log;
// and what else there is to say is said.
func TestServerLogRepeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &serverLog{log: slog.New(slog.NewTextHandler(&out, nil)), stopping: new(atomic.Bool)}
		for i := range 600 {
			l.Errorf("10.0.0.7:%d - rid:%d - authentication error - User %q", 40000+i, i, fmt.Sprint(i))
			if i == 300 {
				l.Warnf("something else")
			}
			pause(t.Context(), 50*time.Millisecond)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 4 || !strings.Contains(lines[1], "more_like_it=199") || !strings.Contains(lines[2], "something else") {
			t.Errorf("logged:\n%s", out.String())
		}
		for i := range 100_000 {
			l.Errorf("10.0.0.7:1 - cid:1 - \"%d is made up\" - Slow Consumer", i)
		}
		l.Errorf("a fault") // and is not lost among them
		if n := strings.Count(out.String(), "made up"); n > repeatKinds+1 || !strings.Contains(out.String(), "a fault") {
			t.Errorf("%d lines of what is made up", n)
		}
		for i := range 100_000 {
			l.Errorf("fault %d", i)
		}
		pause(t.Context(), time.Minute)
		l.Warnf("news")
		l.Warnf("10.0.0.7:1 - cid:1 - tidings")
		for _, r := range []*repeats{&l.own, &l.others} {
			if len(r.seen) > repeatKinds+1 {
				t.Errorf("%d kinds are remembered", len(r.seen))
			}
		}
		if !strings.Contains(out.String(), "news") || !strings.Contains(out.String(), "tidings") {
			t.Error("what is new is not said")
		}
	})
}

// pause waits in the time of the test's bubble.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
