package producer

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// pageStub is a page of one path.
type pageStub struct{ http.Handler }

func (pageStub) Shows(path string) bool { return path == "/" }

func newPageStub() pageStub {
	return pageStub{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("the page"))
	})}
}

// ask sends a request as somebody's browser would.
func ask(h http.Handler, method, url string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, nil)
	for k, vs := range header {
		r.Header[k] = vs
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A page of another site can have a browser send nothing, and read nothing
// under a name that somebody has made lead here.
func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	d := New(Options{Streams: theStreams, Page: newPageStub(), Hosts: []string{"n1.example"}, Status: func() (any, error) { return struct{}{}, nil }})
	const retry = "http://127.0.0.1:8231/v1/dead-letters/MESSAGES/3/retry"
	for name, tt := range map[string]struct {
		method, url string
		header      http.Header
		refused     bool
	}{
		"no browser":              {"POST", retry, nil, false},
		"our page":                {"POST", retry, headersOf("Origin", "http://127.0.0.1:8231", "Sec-Fetch-Site", "same-origin"), false},
		"our page, an old one":    {"POST", retry, headersOf("Origin", "http://127.0.0.1:8231"), false},
		"another site":            {"POST", retry, headersOf("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), true},
		"another, an old browser": {"POST", retry, headersOf("Origin", "https://evil.example"), true},
		"another port":            {"POST", retry, headersOf("Origin", "http://127.0.0.1:3000", "Sec-Fetch-Site", "same-site"), true},
		"publishing":              {"POST", "http://127.0.0.1:8231/v1/publish/messages", headersOf("Origin", "https://evil.example"), true},
		"a link to us":            {"GET", "http://127.0.0.1:8231/", headersOf("Sec-Fetch-Site", "cross-site"), false},
		"a name of ours":          {"GET", "http://N1.example.:8231/", nil, false},
		"localhost":               {"GET", "http://localhost:8231/", nil, false},
		"a service's name":        {"GET", "http://n1:8231/", nil, false},
		"IPv6":                    {"GET", "http://[::1]:8231/", nil, false},
		"a name made to lead us":  {"GET", "http://evil.example:8231/", nil, true},
		"and without a port":      {"GET", "http://evil.example/v1/dead-letters", nil, true},
	} {
		w := ask(d, tt.method, tt.url, tt.header)
		if refused := strings.Contains(w.Body.String(), "urn:landfall:problem:cross-origin"); refused != tt.refused || refused != (w.Code == http.StatusForbidden) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	// Where a token is asked for, or everybody may come, names are not.
	if w := ask(New(Options{Streams: theStreams, Page: newPageStub()}), "GET", "http://intake.example/", nil); w.Code != http.StatusOK {
		t.Errorf("without names: %d", w.Code)
	}
}

// A browser asks a person for the token, and sends it as a password.
func TestPersonHasToken(t *testing.T) {
	t.Parallel()
	d := New(Options{Streams: theStreams, Token: "sesame", Page: newPageStub()})
	w := ask(d, "GET", "http://n1/", nil)
	if basic := strings.Join(w.Header().Values("WWW-Authenticate"), "|"); w.Code != http.StatusUnauthorized || !strings.Contains(basic, "Basic realm=") {
		t.Errorf("%d, %s", w.Code, basic)
	}
	if w := ask(d, "GET", "http://n1/v1/dead-letters", nil); strings.Contains(strings.Join(w.Header().Values("WWW-Authenticate"), ""), "Basic") {
		t.Error("a program is asked for a password")
	}
	for password, want := range map[string]int{"sesame": http.StatusOK, "open": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		r := httptest.NewRequest("GET", "http://n1/", nil)
		r.SetBasicAuth("anybody", password)
		w := httptest.NewRecorder()
		if d.ServeHTTP(w, r); w.Code != want {
			t.Errorf("password %q: %d", password, w.Code)
		}
	}
}

// With an address of their own operators are answered there alone; there also
// the page may publish.
func TestAdminApart(t *testing.T) {
	t.Parallel()
	probes := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	d := New(Options{Streams: theStreams, Page: newPageStub(), Metrics: probes, Probes: probes, AdminApart: true, Status: func() (any, error) { return 1, nil }})
	for _, path := range []string{"/", metricsPath, statusPath, lettersPath} {
		if w := ask(d, "GET", path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s at the intake: %d", path, w.Code)
		}
		if w := ask(d.Admin(), "GET", path, nil); w.Code == http.StatusNotFound {
			t.Errorf("%s for operators: %d", path, w.Code)
		}
	}
	for _, h := range []http.Handler{d, d.Admin()} {
		refusedWith(t, ask(h, "POST", "/v1/publish/messages", nil), 503, "not-up")
		if w := ask(h, "GET", "/readyz", nil); w.Code != http.StatusOK {
			t.Errorf("/readyz: %d", w.Code)
		}
	}
}

func TestStatusIsServed(t *testing.T) {
	t.Parallel()
	var err error
	d := New(Options{Streams: theStreams, Status: func() (any, error) { return map[string]string{"cluster": "c"}, err }})
	if w := ask(d, "GET", statusPath, nil); w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != `{"cluster":"c"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	refusedWith(t, ask(d, "POST", statusPath, nil), 405, "method")
	err = errors.New("its server does not answer")
	refusedWith(t, ask(d, "GET", statusPath, nil), 503, "status-unknown")
}

// Requests to publish are counted, once each.
func TestPublishedIsTold(t *testing.T) {
	t.Parallel()
	var told []string
	d := New(Options{Streams: theStreams, Published: func(refusal string, _ time.Duration) { told = append(told, refusal) }})
	ask(d, "POST", "/v1/publish/messages", nil)
	d.backend.Store(&Backend{})
	ask(d, "POST", "/v1/publish/nobodys", nil)
	ask(d, "POST", "/v1/publish/messages", headersOf("Content-Type", "application/x-ndjson"))
	ask(d, "GET", "/v1/openapi.json", nil)
	if got := strings.Join(told, " "); got != "not-up no-stream key" {
		t.Errorf("told: %s", got)
	}
}
