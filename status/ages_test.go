package status

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"landfall/message"
)

// The histogram is the library's own, message by message.
func TestAges(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const name = "landfall_publish_to_stored_seconds"
	ours, theirs := newAges(name, "x", []string{"S"}), prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: "x", Buckets: latencies()}, []string{"stream"})
	for _, batch := range [][]time.Duration{{time.Second, 999 * time.Millisecond, 5 * time.Millisecond, 4 * time.Millisecond, 0}, {time.Hour, time.Microsecond, time.Minute}, {}, {-time.Second}} {
		var ms []message.Message
		for _, age := range batch {
			ms = append(ms, message.Message{Time: now.Add(-age)})
			theirs.WithLabelValues("S").Observe(max(0, age.Seconds()))
		}
		ours.add("S", ms, now)
	}
	ours.add("STRANGER", make([]message.Message, 1), now)
	read := func(c prometheus.Collector) string {
		all := prometheus.NewRegistry()
		all.MustRegister(c)
		w := httptest.NewRecorder()
		promhttp.HandlerFor(all, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	const sum = name + `_sum{stream="S"} ` // the library adds in floating point
	got, want := read(ours), read(theirs)
	exact, rest, _ := strings.Cut(got, sum)
	before, after, _ := strings.Cut(want, sum)
	_, after, _ = strings.Cut(after, "\n")
	if exact != before || rest != "3662.008001\n"+after || !strings.Contains(got, name+`_count{stream="S"} 9`) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func BenchmarkAges(b *testing.B) {
	now := time.Now()
	a, ms := newAges("x", "x", []string{"S"}), make([]message.Message, 5000)
	for i := range ms {
		ms[i].Time = now.Add(-time.Duration(len(ms)-i) * time.Microsecond)
	}
	for b.Loop() {
		a.add("S", ms, now)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ms)), "ns/message")
}
