package status

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"landfall/message"
)

func TestPage(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	var letters []*message.DeadLetter
	page, err := NewPage(PageOptions{Config: s.o.Config, Overview: s.Overview, Letters: func(context.Context, int) ([]*message.DeadLetter, error) { return letters, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if w := get("/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("before anything is known: %d %s", w.Code, w.Body)
	}
	s.look(time.Now())
	s.well(3, 3)
	s.renewed, s.trended = time.Time{}, time.Time{}
	letters = []*message.DeadLetter{{Stream: "S", Reason: "<script>alert(1)</script>\x1b", Message: message.Message{Seq: 4, Subject: "s.\x07x", Data: []byte("<b>&\xff")}}}
	s.look(time.Now().Add(time.Millisecond))
	w := get("/")
	text := w.Body.String()
	for _, part := range []string{"all stored", `id="node-n2"`, "led by n2, stored by n2", "&lt;script&gt;alert(1)", "&lt;b&gt;&amp;\uFFFD", `http-equiv="refresh"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in the page", part)
		}
	}
	if strings.Contains(text, "<script>") || strings.Contains(text, "http://localhost") || strings.ContainsAny(text, "\x07\x1b") {
		t.Error("the page holds what it should not")
	}
	if p := w.Header().Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") {
		t.Errorf("policy %q", p)
	}
	for path, kind := range map[string]string{"/assets/page.js": "javascript", "/assets/page.css": "text/css", "/assets/icon.svg": "image/svg+xml", "/letters": "text/html"} {
		if w := get(path); w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), kind) || !page.Shows(path) {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/assets/page.html", "/assets/", "/assets/../page.go", "/assets/nothing"} {
		if w := get(path); w.Code == http.StatusOK {
			t.Errorf("%s is answered", path)
		}
	}
	post := httptest.NewRecorder()
	if page.ServeHTTP(post, httptest.NewRequest(http.MethodPost, "/", nil)); post.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", post.Code)
	}
}

// Whoever looks is sent what has changed, and nothing twice, until the page is
// closed.
func TestPageEvents(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	page, err := NewPage(PageOptions{Config: s.o.Config, Overview: s.Overview})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.look(now)
	s.well(3, 3)
	s.renewed = time.Time{}
	s.look(now)
	server := httptest.NewServer(page)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := func() (text string) {
		buffer := make([]byte, 64<<10)
		for !strings.Contains(text, "event: tick\n") {
			n, err := resp.Body.Read(buffer)
			text += string(buffer[:n])
			if err != nil {
				t.Fatal(err, text)
			}
		}
		return text
	}
	first := read()
	for _, name := range append(sectionNames(), "title", "letters") {
		if !strings.Contains(first, "event: "+name+"\ndata: ") {
			t.Errorf("%s is not sent at first", name)
		}
	}
	s.well(4, 3)
	s.renewed = time.Time{}
	s.look(now)
	second := read()
	if !strings.Contains(second, "event: headline\n") || strings.Contains(second, "event: events\n") || strings.Contains(second, "event: charts\n") {
		t.Errorf("then: %s", second)
	}
	page.Close()
	for {
		if _, err := resp.Body.Read(make([]byte, 1<<10)); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		t.Error("a closed page goes on")
	}
	http.DefaultClient.CloseIdleConnections()
}
