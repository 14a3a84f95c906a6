package status

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"landfall/message"
)

// MetricsOptions are what Metrics needs to know.
type MetricsOptions struct {
	Node    string       // this node
	Version string       // of this program
	Streams []string     // of cluster.yaml
	Ready   func() error // as for Probes
	Log     *slog.Logger // nil: silent
}

// Metrics answers /metrics in Prometheus' text format. It has a registry of
// its own, so that several nodes can live in one process. It works from the
// first moment of a process to its last. Label values are bounded: nodes,
// streams and tables of cluster.yaml, and words of this program.
type Metrics struct {
	http.Handler
	all       *prometheus.Registry
	elections *prometheus.CounterVec
	expired   *prometheus.CounterVec
	bytes     *prometheus.GaugeVec
	stored    *prometheus.CounterVec
	batches   *prometheus.CounterVec
	commit    *prometheus.HistogramVec
	through   *prometheus.HistogramVec
	publish   prometheus.Histogram
	requests  *prometheus.CounterVec
}

// latencies are the bounds of the histograms, in seconds: from a fast fsync to
// the time after which a client is told to repeat.
func latencies() []float64 {
	return []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .125, .25, .5, 1, 2, 4, 10, 30, 60, 300}
}

// NewMetrics makes metrics that have counted nothing yet.
func NewMetrics(o MetricsOptions) (*Metrics, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "landfall_build_info", Help: "Always 1; its labels say which node this is, and which version it runs.",
		ConstLabels: prometheus.Labels{"node": o.Node, "version": o.Version},
	})
	build.Set(1)
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_ready", Help: "1 if this node can acknowledge messages and is not stopping, as /readyz says, else 0.",
	}, func() float64 { return oneIf(o.Ready() == nil) })
	m := &Metrics{
		all:       prometheus.NewRegistry(),
		elections: counters("landfall_elections_total", "Leaders elected since this node is up, as it has heard of them: of a stream, of its consumer, or of the cluster as a whole (meta).", "stream", "kind"),
		expired:   counters("landfall_expired_rows_total", "Rows of the messages table that this node has deleted because they were older than keep.", "stream"),
		stored:    counters("landfall_stored_messages_total", "Messages that this node's sink has stored, by what became of them: row, dead_letter or duplicate.", "stream", "result"),
		batches:   counters("landfall_batches_total", "Transactions of this node's sink, by their path: copy, or the careful one that tells bad messages apart.", "stream", "path"),
		requests:  counters("landfall_publish_requests_total", "Requests to publish over HTTP, by result: acknowledged, or the name of the refusal.", "result"),
		bytes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "landfall_table_bytes", Help: "Size of a table on disk with its indexes, as Postgres says. Told by the nodes that store a stream in it.",
		}, []string{"table"}),
		commit: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "landfall_commit_seconds", Help: "How long Postgres took for a batch, from the fence to the COMMIT.", Buckets: latencies(),
		}, []string{"stream"}),
		through: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "landfall_publish_to_stored_seconds", Help: "From when the stream's leader took a message to when it is in Postgres, by the clocks of two nodes.", Buckets: latencies(),
		}, []string{"stream"}),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "landfall_publish_seconds", Help: "How long a single message over HTTP took until it was acknowledged, without a wait for Postgres.", Buckets: latencies(),
		}),
	}
	m.elections.WithLabelValues("", ElectionMeta)
	m.requests.WithLabelValues(acknowledged)
	for _, s := range o.Streams {
		m.elections.WithLabelValues(s, ElectionStream)
		m.elections.WithLabelValues(s, ElectionConsumer)
		m.expired.WithLabelValues(s)
		for _, result := range []string{resultRow, resultDeadLetter, resultDuplicate} {
			m.stored.WithLabelValues(s, result)
		}
		m.batches.WithLabelValues(s, pathCopy)
		m.batches.WithLabelValues(s, pathCareful)
		m.commit.WithLabelValues(s)
		m.through.WithLabelValues(s)
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, ready, m.elections, m.expired, m.bytes, m.stored, m.batches, m.commit, m.through, m.publish, m.requests,
	} {
		if err := m.all.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	m.Handler = promhttp.HandlerFor(m.all, promhttp.HandlerOpts{ErrorLog: promLog{o.Log}})
	return m, nil
}

// Values of the label result and of the label path.
const (
	acknowledged     = "acknowledged"
	resultRow        = "row"
	resultDeadLetter = "dead_letter"
	resultDuplicate  = "duplicate"
	pathCopy         = "copy"
	pathCareful      = "careful"
)

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// promLog is where the library says what it could not collect.
type promLog struct{ log *slog.Logger }

func (l promLog) Println(v ...any) {
	l.log.Warn("some metrics could not be collected", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}

// elected counts an election.
func (m *Metrics) elected(stream, kind string) { m.elections.WithLabelValues(stream, kind).Inc() }

// Expired counts rows that were deleted because they were older than keep.
func (m *Metrics) Expired(stream string, rows int) {
	m.expired.WithLabelValues(stream).Add(float64(rows))
}

// committed counts a batch.
func (m *Metrics) committed(stream string, b *message.Batch, out message.Outcome, took time.Duration, now time.Time) {
	m.stored.WithLabelValues(stream, resultRow).Add(float64(out.Rows))
	m.stored.WithLabelValues(stream, resultDeadLetter).Add(float64(out.DeadLetters))
	m.stored.WithLabelValues(stream, resultDuplicate).Add(float64(out.Duplicates))
	path := pathCopy
	if out.Careful {
		path = pathCareful
	}
	m.batches.WithLabelValues(stream, path).Inc()
	m.commit.WithLabelValues(stream).Observe(took.Seconds())
	through := m.through.WithLabelValues(stream)
	for i := range b.Messages {
		through.Observe(max(0, now.Sub(b.Messages[i].Time).Seconds()))
	}
}

// Published counts a request to publish: by the name of its refusal, or "" if
// it was acknowledged. took is how long that was for a single message; 0: it
// was a batch, or was to wait for Postgres.
func (m *Metrics) Published(refusal string, took time.Duration) {
	if refusal != "" {
		m.requests.WithLabelValues(refusal).Inc()
		return
	}
	m.requests.WithLabelValues(acknowledged).Inc()
	if took > 0 {
		m.publish.Observe(took.Seconds())
	}
}

// TableBytes tells how large tables are, in bytes, by their names; of others
// nothing is told any more.
func (m *Metrics) TableBytes(sizes map[string]int64) {
	m.bytes.Reset()
	for table, bytes := range sizes {
		m.bytes.WithLabelValues(table).Set(float64(bytes))
	}
}
