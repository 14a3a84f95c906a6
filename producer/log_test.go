package producer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRefusalsInTheLog: an outage that refuses every request is said once,
// then every ten seconds with how many there were, and each kind by itself.
func TestRefusalsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := &world{events: []event{full}}
		d := w.door(Options{Deadline: time.Second, Log: slog.New(slog.NewTextHandler(&out, nil))})
		for range 15 { // a second each
			refusedWith(t, post("messages", "body").at(d), 503, "stream-full")
		}
		w.events = []event{nobody}
		refusedWith(t, post("messages", "body").at(d), 503, "no-quorum")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[1], "more_like_it=9") || !strings.Contains(lines[2], "no acknowledgement") {
			t.Errorf("the log says:\n%s", out.String())
		}
	})
}
