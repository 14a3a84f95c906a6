// Package status says how the nodes and the messages are doing. It only
// watches; nothing is decided here.
//
// Probes (probes.go) ask whether a node lives and whether to send it work.
// Nodes tell each other what they commit, so that each can say what has become
// of a message (receipts.go).
//
// And each tells the others once a second how it is doing (report.go, peers.go):
// what its server says of itself (own.go), and what its sinks do, which it
// observes (sink.go). The Overview (overview.go) looks who is there
// (presence.go), notes what happens (event.go, notice.go, elections.go), keeps
// what is known of the streams (remember.go, trend.go), makes a View of all of
// it (view.go, compose.go) and judges that (judge.go). The View is what people
// get, as a page (page.go, chart.go), as tables in a terminal (tables.go) or as
// JSON. Prometheus gets counters and what the Overview knows of this node
// (metrics.go, gauges.go).
package status

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
)

// errDraining is why a node that was told to stop is not ready.
var errDraining = errors.New("stopping")

// Probes answers /healthz and /readyz, with a short JSON document. It works
// from the first moment of a process to its last.
type Probes struct {
	ready    func() error
	draining atomic.Bool
}

// NewProbes makes probes of a function that says why this node cannot
// acknowledge messages, or nil. That Postgres is away is no reason: messages
// are taken and kept while it is. The function must be quick and may be
// called at any time, from any goroutine.
func NewProbes(ready func() error) *Probes {
	return &Probes{ready: ready}
}

// Drain makes the node unready for good: load balancers are to send their
// requests elsewhere before this one stops to listen.
func (p *Probes) Drain() { p.draining.Store(true) }

// Ready is nil if this node can acknowledge messages and is not stopping.
func (p *Probes) Ready() error {
	if p.draining.Load() {
		return errDraining
	}
	return p.ready()
}

// state is what a probe reads, if it reads more than the status code.
type state struct {
	Status string `json:"status"` // alive, ready, unready
	Reason string `json:"reason,omitempty"`
}

// ServeHTTP answers /healthz with 200 as long as the process lives, and
// /readyz with 200 or, with the reason, 503.
func (p *Probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "probes are asked with GET", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/healthz":
		answer(w, http.StatusOK, state{Status: "alive"})
	case "/readyz":
		if err := p.Ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, state{Status: "unready", Reason: err.Error()})
			return
		}
		answer(w, http.StatusOK, state{Status: "ready"})
	default:
		http.NotFound(w, r)
	}
}

// answer writes a state. An error means that whoever asked is gone.
func answer(w http.ResponseWriter, status int, s state) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(s)
}
