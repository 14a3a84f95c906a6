package status

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Kinds of elections, as a label has them. Each is a Raft group: a stream's
// leader acknowledges, its consumer's leader stores, and the leader of the
// cluster as a whole makes and changes streams.
const (
	ElectionStream   = "stream"
	ElectionConsumer = "consumer"
	ElectionMeta     = "meta"
)

// The subjects on which nats-server announces new leaders, in its
// server/jetstream_api.go; STREAM, or STREAM.CONSUMER, follows.
const (
	streamElected   = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."
	consumerElected = "$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED."
)

// MetricsOptions are what Metrics needs to know.
type MetricsOptions struct {
	Node    string       // this node
	Version string       // of this program
	Streams []string     // those whose elections are counted
	Ready   func() error // as for Probes
	Log     *slog.Logger // nil: silent
}

// Metrics answers /metrics in Prometheus' text format. It has a registry of
// its own, so that several nodes can live in one process. It works from the
// first moment of a process to its last.
type Metrics struct {
	http.Handler
	o         MetricsOptions
	elections *prometheus.CounterVec
	expired   *prometheus.CounterVec
	bytes     *prometheus.GaugeVec
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
	}, func() float64 {
		if o.Ready() != nil {
			return 0
		}
		return 1
	})
	m := &Metrics{o: o, elections: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_elections_total", Help: "Leaders elected since this node is up, as it has heard of them: of a stream, of its consumer, or of the cluster as a whole (meta).",
	}, []string{"stream", "kind"}), expired: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_expired_rows_total", Help: "Rows of the messages table that this node has deleted because they were older than keep.",
	}, []string{"stream"}), bytes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "landfall_table_bytes", Help: "Size of a table on disk with its indexes, as Postgres says. Told by the nodes that store a stream in it.",
	}, []string{"table"})}
	m.elections.WithLabelValues("", ElectionMeta)
	for _, s := range o.Streams {
		m.elections.WithLabelValues(s, ElectionStream)
		m.elections.WithLabelValues(s, ElectionConsumer)
		m.expired.WithLabelValues(s)
	}
	all := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, ready, m.elections, m.expired, m.bytes,
	} {
		if err := all.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	m.Handler = promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorLog: promLog{o.Log}})
	return m, nil
}

// promLog is where the library says what it could not collect.
type promLog struct{ log *slog.Logger }

func (l promLog) Println(v ...any) {
	l.log.Warn("some metrics could not be collected", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}

// MetaElected counts an election of the cluster's own leader, which is
// announced to no client.
func (m *Metrics) MetaElected() { m.elections.WithLabelValues("", ElectionMeta).Inc() }

// Expired counts rows that were deleted because they were older than keep.
func (m *Metrics) Expired(stream string, rows int) {
	m.expired.WithLabelValues(stream).Add(float64(rows))
}

// TableBytes tells how large tables are, in bytes, by their names; of others
// nothing is told any more.
func (m *Metrics) TableBytes(sizes map[string]int64) {
	m.bytes.Reset()
	for table, bytes := range sizes {
		m.bytes.WithLabelValues(table).Set(float64(bytes))
	}
}

// Listen counts the elections that the cluster announces, until the connection
// is closed.
func (m *Metrics) Listen(nc *nats.Conn) error {
	for _, subject := range []string{streamElected + "*", consumerElected + "*.*"} {
		if _, err := nc.Subscribe(subject, func(msg *nats.Msg) { m.hear(msg.Subject) }); err != nil {
			return fmt.Errorf("listen for elections: %w", err)
		}
	}
	return nil
}

// hear counts one announcement. Those of streams that cluster.yaml does not
// name are left out: their names are other people's, and there is no end to them.
func (m *Metrics) hear(subject string) {
	kind := ElectionStream
	stream, ok := strings.CutPrefix(subject, streamElected)
	if !ok {
		kind = ElectionConsumer
		stream, ok = strings.CutPrefix(subject, consumerElected)
		stream, _, _ = strings.Cut(stream, ".")
	}
	if !ok {
		return
	}
	for _, ours := range m.o.Streams {
		if stream == ours {
			m.elections.WithLabelValues(stream, kind).Inc()
		}
	}
}
