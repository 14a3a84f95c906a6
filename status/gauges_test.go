package status

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"landfall/message"
)

// ours are the lines of our own metrics: the server library's names are its own.
func ours(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, "landfall_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// deployed are the metrics that the alerts and the dashboard ask for.
func deployed(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, file := range []string{"prometheus/alerts.yaml", "grafana/landfall.json"} {
		text, err := os.ReadFile(filepath.Join("..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\blandfall_[a-z0-9_]+`).FindAllString(string(text), -1) {
			for _, of := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(name, of); ok && strings.HasSuffix(base, "_seconds") {
					name = base
				}
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) < 20 {
		t.Errorf("only %v", names)
	}
	return names
}

// Every metric has a name and a help that Prometheus' own linter likes, and
// those that are not known are not told.
func TestGauges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.set(func() { s.server.FsyncP99 = time.Millisecond })
		read := func() string {
			w := httptest.NewRecorder()
			s.o.Metrics.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			return w.Body.String()
		}
		s.at(time.Second, func() { s.well(7, 7) })
		text := read()
		for _, line := range []string{"landfall_nodes_up 3", "landfall_postgres_up 1", `landfall_sink_active{stream="S"} 0`, `landfall_stream_max_bytes{stream="S"} 1.073741824e+09`} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("no %s", line)
			}
		}
		if strings.Contains(text, "landfall_cursor_sequence{") || strings.Contains(text, "landfall_dead_letters_waiting{") {
			t.Error("a node that does not store tells of the sink")
		}
		s.replica(message.Replica{Stream: "S", Held: true, Stores: true, Last: 9})
		s.Sink("S").Active(message.Cursor{Seq: 8})
		s.Sink("S").Counted(message.Counts{DeadLetters: 4, LastGap: time.Now()})
		s.at(2*time.Second, func() {
			s.tells(Report{Node: "n2", Time: time.Now(), Streams: []StreamReport{{Name: "S", Held: true, Leads: true, Last: 9}}})
		})
		text = read()
		for _, line := range []string{`landfall_sink_active{stream="S"} 1`, `landfall_cursor_sequence{stream="S"} 8`, `landfall_in_flight_messages{stream="S"} 1`, `landfall_dead_letters_waiting{stream="S"} 4`, `landfall_sink_paused{stream="S"} 0`} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("no %s", line)
			}
		}
		problems, err := promlint.New(strings.NewReader(ours(text))).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
		s.o.Metrics.TableBytes(map[string]int64{"public.messages": 1})
		for _, name := range deployed(t) {
			if !strings.Contains(read(), "\n# TYPE "+name+" ") {
				t.Errorf("alerts or dashboard ask for %s, which there is not", name)
			}
		}
		<-time.After(stale + time.Second)
		if strings.Contains(read(), "landfall_nodes_up") {
			t.Error("what is old is told")
		}
	})
}
