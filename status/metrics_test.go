package status

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"landfall/cluster"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	var unready error
	m, err := NewMetrics(MetricsOptions{Node: "n1", Version: "v1", Streams: []string{"A", "B"}, Ready: func() error { return unready }})
	if err != nil {
		t.Fatal(err)
	}
	v := NewOverview(OverviewOptions{Config: &cluster.Config{Streams: []cluster.Stream{{Name: "A"}, {Name: "B"}}}, Node: "n1", Metrics: m})
	for _, subject := range []string{
		streamElected + "A", streamElected + "A", streamElected + "STRANGER",
		consumerElected + "B.postgres", consumerElected + "STRANGER.postgres", "$JS.EVENT.ADVISORY.OTHER.A",
	} {
		if stream, kind := parseElection(subject); kind != "" {
			v.elected(stream, kind, "n1")
		}
	}
	v.MetaElected()
	read := func() string {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	text := read()
	for _, line := range []string{
		`landfall_elections_total{kind="stream",stream="A"} 2`,
		`landfall_elections_total{kind="stream",stream="B"} 0`,
		`landfall_elections_total{kind="consumer",stream="A"} 0`,
		`landfall_elections_total{kind="consumer",stream="B"} 1`,
		`landfall_elections_total{kind="meta",stream=""} 1`,
		`landfall_build_info{node="n1",version="v1"} 1`,
		`landfall_ready 1`,
		`go_goroutines `,
		`process_start_time_seconds `,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("there is no %s", line)
		}
	}
	if strings.Contains(text, "STRANGER") {
		t.Error("a stream that is not ours is counted")
	}
	unready = errors.New("no leader")
	if !strings.Contains(read(), "\nlandfall_ready 0\n") {
		t.Error("unready, and landfall_ready is not 0")
	}
}
