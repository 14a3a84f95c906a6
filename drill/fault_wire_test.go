package drill

import (
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall/drill/pgproxy"
	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

// newFarSite is a test site whose nodes run on machines, where those can be
// had, and each of which has a way to Postgres of its own.
func newFarSite(t *testing.T) *farSite {
	t.Helper()
	names := []string{"n1", "n2", "n3"}
	m, err := NewMachines(names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	server := pgtest.Start(t, pgserver.Options{})
	target := net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port()))
	o := Options{DatabaseURL: server.URL(), DatabaseURLs: make(map[string]string), StreamKeys: testKeys()}
	host := "127.0.0.1"
	if m.Isolated() {
		o.Machines, o.Token, host = m, rand.Text(), m.Gateway
	}
	ways := make(map[string]*pgproxy.Proxy)
	for _, name := range names {
		way, err := pgproxy.Listen(t.Context(), net.JoinHostPort(host, "0"), target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := way.Close(); err != nil {
				t.Error(err)
			}
		})
		ways[name], o.DatabaseURLs[name] = way, way.URL(server.URL())
	}
	r := newRig(t, o)
	r.opts.DatabaseURL = "" // each node has its own
	r.must(r.Up(within(t, time.Minute)))
	s := &farSite{testSite: testSiteOn(r)}
	s.Machines, s.Ways, s.Server = m, ways, server
	s.Say = func(format string, args ...any) {
		t.Helper()
		line := fmt.Sprintf(format, args...)
		t.Log(line)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.said = append(s.said, line)
	}
	return s
}

// farSite is a test site that remembers what was said.
type farSite struct {
	*testSite
	mu   sync.Mutex
	said []string
}

// can are those of the faults that can be had here.
func (s *farSite) can(t *testing.T, faults []Fault) []Fault {
	t.Helper()
	var can []Fault
	for _, f := range faults {
		if why := f.Lacks(s.Site); why != "" {
			t.Logf("no %s: %s", f.Name, why)
			continue
		}
		can = append(can, f)
	}
	return can
}

// Each of those that are over in a moment, and all variants of what is cut at
// a point.
func TestWireFaults(t *testing.T) {
	t.Parallel()
	s := newFarSite(t)
	var acts []Act
	for _, act := range actsOf(t, s.can(t, wireFaults())) {
		if act.Hold <= time.Second {
			acts = append(acts, act)
		}
	}
	s.suffer(within(t, 2*time.Minute), acts...)
	s.allHappened()
}

// allHappened checks that under load nothing waited in vain for its point: if
// it did, the nodes' statements are not those any more that it waits for.
func (s *farSite) allHappened() {
	s.r.t.Helper()
	for _, line := range s.said {
		if strings.Contains(line, "nothing happened") {
			s.r.t.Error(line)
		}
	}
}
