package status

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"landfall/message"
)

// gauges tell what the overview knows of this node at the moment it is asked.
// What is not known is left out: a zero would look like news.
type gauges struct {
	overview *Overview
	node     []nodeGauge
	stream   []streamGauge
}

// nodeGauge is a figure of this node.
type nodeGauge struct {
	desc    *prometheus.Desc
	counter bool
	of      func(r *Report, v *View, s *message.Vitals) (float64, bool)
}

// streamGauge is a figure of a stream, as this node has it: its replica's, or
// its sink's.
type streamGauge struct {
	desc *prometheus.Desc
	of   func(t *StreamReport, v *StreamView) (float64, bool)
}

// Collect adds the overview's figures to the metrics.
func (m *Metrics) Collect(v *Overview) error {
	if err := m.all.Register(newGauges(v)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func newGauges(v *Overview) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("landfall_"+name, help, labels, nil)
	}
	g := &gauges{overview: v}
	node := func(name, help string, of func(r *Report, v *View, s *message.Vitals) (float64, bool)) {
		g.node = append(g.node, nodeGauge{desc(name, help), false, of})
	}
	ofServer := func(name, help string, of func(s *message.Vitals) float64) {
		g.node = append(g.node, nodeGauge{desc(name, help), len(name) > 6 && name[len(name)-6:] == "_total", func(_ *Report, _ *View, s *message.Vitals) (float64, bool) {
			if s == nil {
				return 0, false
			}
			return of(s), true
		}})
	}
	stream := func(name, help string, of func(t *StreamReport, v *StreamView) (float64, bool)) {
		g.stream = append(g.stream, streamGauge{desc(name, help, "stream"), of})
	}
	ofSink := func(name, help string, of func(k *Sunk, v *StreamView) (float64, bool)) {
		stream(name, help+" Told by the node that stores the stream.", func(t *StreamReport, v *StreamView) (float64, bool) {
			if t.Sink == nil {
				return 0, false
			}
			return of(t.Sink, v)
		})
	}

	node("postgres_up", "1 if this node reaches Postgres, else 0.", func(r *Report, _ *View, _ *message.Vitals) (float64, bool) {
		return oneIf(r.PostgresOK), !r.PostgresUnknown
	})
	node("nodes", "Nodes of the cluster.", func(_ *Report, v *View, _ *message.Vitals) (float64, bool) { return float64(len(v.Nodes)), true })
	node("nodes_up", "Nodes that this one hears, itself included.", func(_ *Report, v *View, _ *message.Vitals) (n float64, _ bool) {
		for _, node := range v.Nodes {
			n += oneIf(node.There())
		}
		return n, true
	})
	node("fsync_p99_seconds", "The slowest hundredth of one small fsync a second in the data directory, over five minutes.", func(r *Report, _ *View, _ *message.Vitals) (float64, bool) {
		return r.FsyncP99, r.FsyncP99 > 0
	})
	ofServer("store_bytes", "What this node's streams take on its disk.", func(s *message.Vitals) float64 { return float64(s.Store) })
	ofServer("nats_connections", "Clients of the embedded NATS server.", func(s *message.Vitals) float64 { return float64(s.Connections) })
	ofServer("nats_routes", "Nodes that the embedded server has a route to.", func(s *message.Vitals) float64 { return float64(s.Routes) })
	ofServer("nats_subscriptions", "Subscriptions at the embedded server.", func(s *message.Vitals) float64 { return float64(s.Subscriptions) })
	ofServer("nats_slow_consumers_total", "Clients that the embedded server has cut off because they were too slow.", func(s *message.Vitals) float64 { return float64(s.SlowConsumers) })
	ofServer("nats_received_messages_total", "Messages that came to the embedded server, from clients and nodes.", func(s *message.Vitals) float64 { return float64(s.ReceivedMessages) })
	ofServer("nats_sent_messages_total", "Messages that the embedded server has sent.", func(s *message.Vitals) float64 { return float64(s.SentMessages) })
	ofServer("nats_received_bytes_total", "Bytes of the messages that came.", func(s *message.Vitals) float64 { return float64(s.ReceivedBytes) })
	ofServer("nats_sent_bytes_total", "Bytes of the messages that were sent.", func(s *message.Vitals) float64 { return float64(s.SentBytes) })
	ofServer("jetstream_api_requests_total", "Requests to the JetStream API of the embedded server.", func(s *message.Vitals) float64 { return float64(s.APIRequests) })
	ofServer("jetstream_api_errors_total", "Those of them that ended in an error.", func(s *message.Vitals) float64 { return float64(s.APIErrors) })

	held := func(of func(t *StreamReport) float64) func(*StreamReport, *StreamView) (float64, bool) {
		return func(t *StreamReport, _ *StreamView) (float64, bool) { return of(t), t.Held }
	}
	stream("stream_leader", "1 if this node leads the stream, else 0.", func(t *StreamReport, _ *StreamView) (float64, bool) { return oneIf(t.Leads), true })
	stream("sink_active", "1 if this node stores the stream in Postgres, else 0.", func(t *StreamReport, _ *StreamView) (float64, bool) { return oneIf(t.Stores), true })
	stream("stream_first_sequence", "First sequence that this node's replica holds.", held(func(t *StreamReport) float64 { return float64(t.First) }))
	stream("stream_last_sequence", "Last sequence of this node's replica.", held(func(t *StreamReport) float64 { return float64(t.Last) }))
	stream("stream_bytes", "Bytes of this node's replica.", held(func(t *StreamReport) float64 { return float64(t.Bytes) }))
	stream("stream_max_bytes", "max_bytes of the stream: full, it refuses new messages.", func(_ *StreamReport, v *StreamView) (float64, bool) { return float64(v.MaxBytes), true })
	stream("stream_window_seconds", "Age of the oldest message that this node's replica holds: how far back a Postgres restored from a backup can be refilled.", held(func(t *StreamReport) float64 { return t.Window }))

	ofSink("sink_paused", "1 if a person has to mend the set-up before the stream is stored again, else 0.", func(k *Sunk, _ *StreamView) (float64, bool) { return oneIf(k.State == SinkIsPaused), true })
	ofSink("cursor_sequence", "Last sequence that Postgres has.", func(k *Sunk, _ *StreamView) (float64, bool) { return float64(k.Cursor), k.Known })
	ofSink("in_flight_messages", "Messages that are acknowledged and not in Postgres yet.", func(_ *Sunk, v *StreamView) (float64, bool) {
		if v.InFlight == nil {
			return 0, false
		}
		return float64(*v.InFlight), true
	})
	ofSink("lag_seconds", "Age of the oldest message that is not in Postgres yet.", func(_ *Sunk, v *StreamView) (float64, bool) {
		if v.Lag == nil {
			return 0, false
		}
		return *v.Lag, true
	})
	counted := func(of func(c *message.Counts) float64) func(*Sunk, *StreamView) (float64, bool) {
		return func(k *Sunk, _ *StreamView) (float64, bool) {
			if k.Counts == nil {
				return 0, false
			}
			return of(k.Counts), true
		}
	}
	ofSink("dead_letters_waiting", "Dead letters that wait for somebody.", counted(func(c *message.Counts) float64 { return float64(c.DeadLetters) }))
	ofSink("duplicates", "Messages that were known already by their ids.", counted(func(c *message.Counts) float64 { return float64(c.Duplicates) }))
	ofSink("gap_sequences", "Messages that were gone from every node before Postgres had them.", counted(func(c *message.Counts) float64 { return float64(c.Gaps) }))
	ofSink("gap_noticed_timestamp_seconds", "When the last gap was recorded.", func(k *Sunk, _ *StreamView) (float64, bool) {
		if k.Counts == nil || k.Counts.LastGap.IsZero() {
			return 0, false
		}
		return float64(k.Counts.LastGap.UnixMilli()) / 1000, true
	})
	return g
}

// Describe is asked for by the library.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, n := range g.node {
		ch <- n.desc
	}
	for _, s := range g.stream {
		ch <- s.desc
	}
}

// Collect is asked for by the library, whenever somebody reads the metrics.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	v, err := g.overview.View()
	if err != nil {
		return // nothing is known
	}
	r, s := g.overview.Report(), g.overview.server.Load()
	for _, n := range g.node {
		kind := prometheus.GaugeValue
		if n.counter {
			kind = prometheus.CounterValue
		}
		if value, ok := n.of(&r, v, s); ok {
			ch <- prometheus.MustNewConstMetric(n.desc, kind, value)
		}
	}
	for i := range v.Streams {
		t := r.stream(v.Streams[i].Name)
		if t == nil {
			continue
		}
		for _, g := range g.stream {
			if value, ok := g.of(t, &v.Streams[i]); ok {
				ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, t.Name)
			}
		}
	}
}
