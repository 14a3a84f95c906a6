package status

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	waiting := errors.New(`waiting for "n2"`)
	for _, c := range []struct {
		name, method, path string
		ready              error
		drained            bool
		status             int
		body               string
	}{
		{"alive", "GET", "/healthz", nil, false, 200, `{"status":"alive"}`},
		{"alive while not ready", "GET", "/healthz", waiting, false, 200, `{"status":"alive"}`},
		{"alive while stopping", "GET", "/healthz", nil, true, 200, `{"status":"alive"}`},
		{"ready", "GET", "/readyz", nil, false, 200, `{"status":"ready"}`},
		{"asked for the status alone", "HEAD", "/readyz", nil, false, 200, `{"status":"ready"}`},
		{"not ready", "GET", "/readyz", waiting, false, 503, `{"status":"unready","reason":"waiting for \"n2\""}`},
		{"stopping", "GET", "/readyz", nil, true, 503, `{"status":"unready","reason":"stopping"}`},
		{"stopping before it was up", "GET", "/readyz", waiting, true, 503, `{"status":"unready","reason":"stopping"}`},
		{"not asked", "POST", "/readyz", nil, false, 405, `probes are asked with GET`},
		{"somewhere else", "GET", "/metrics", nil, false, 404, `404 page not found`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := NewProbes(func() error { return c.ready })
			if c.drained {
				p.Drain()
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
			if got := strings.TrimSpace(w.Body.String()); w.Code != c.status || got != c.body {
				t.Errorf("%d %s, want %d %s", w.Code, got, c.status, c.body)
			}
		})
	}
}
