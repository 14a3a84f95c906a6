// Package status says how a node is doing: to probes, that ask whether it
// lives and whether to send it work, and to the other nodes, which hear once
// a second what this one can reach. It also says how the messages are doing:
// nodes tell each other what they commit, so that each can say what has become
// of a message (receipts.go). It only watches; nothing is decided here.
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
