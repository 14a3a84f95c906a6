package status

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"landfall/message"
)

// ages is a histogram of how old messages were when they were stored, by
// stream. The library's own takes one figure at a time, at 50 ns each; this
// one takes the messages of a batch, whose ages are nearly alike, at a
// twentieth of that: it is on the way of every message.
type ages struct {
	desc   *prometheus.Desc
	bounds []time.Duration

	mu sync.Mutex // guards of
	of map[string]*aged
}

// aged are the ages of a stream's messages.
type aged struct {
	counts []uint64 // by the first bound that is not below the age; the last: above all
	count  uint64
	sum    time.Duration
}

func newAges(name, help string, streams []string) *ages {
	a := &ages{desc: prometheus.NewDesc(name, help, []string{"stream"}, nil), of: map[string]*aged{}}
	for _, s := range latencies() {
		a.bounds = append(a.bounds, seconds(s))
	}
	for _, s := range streams {
		a.of[s] = &aged{counts: make([]uint64, len(a.bounds)+1)}
	}
	return a
}

// add counts the messages of a batch that is stored now.
func (a *ages) add(stream string, ms []message.Message, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of[stream]
	if s == nil {
		return
	}
	i := 0
	for k := range ms {
		age := max(0, now.Sub(ms[k].Time)) // below zero: another node's clock is ahead
		for i < len(a.bounds) && age > a.bounds[i] {
			i++
		}
		for i > 0 && age <= a.bounds[i-1] {
			i--
		}
		s.counts[i]++
		s.sum += age
	}
	s.count += uint64(len(ms))
}

// Describe is asked for by the library.
func (a *ages) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

// Collect is asked for by the library, whenever somebody reads the metrics.
func (a *ages) Collect(ch chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for stream, s := range a.of {
		upTo, sum := map[float64]uint64{}, uint64(0)
		for i, bound := range latencies() {
			sum += s.counts[i]
			upTo[bound] = sum
		}
		ch <- prometheus.MustNewConstHistogram(a.desc, s.count, s.sum.Seconds(), upTo, stream)
	}
}
