package producer

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A door that sends its clients away goes on answering, on connections that
// end with the answer. Probes are no clients.
func TestSendAway(t *testing.T) {
	t.Parallel()
	d := New(Options{Streams: theStreams, Probes: http.NotFoundHandler()})
	s := httptest.NewServer(d)
	defer s.Close()
	closes := func(path string) bool {
		t.Helper()
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Close
	}
	if closes("/readyz"); !d.LastRequest().IsZero() {
		t.Error("a probe counts as a request")
	}
	if closes(openAPIPath) {
		t.Error("a connection is closed before anybody is sent away")
	}
	before := d.LastRequest()
	if before.IsZero() {
		t.Error("a request does not count")
	}
	d.SendAway()
	if !closes(openAPIPath) {
		t.Error("the answer leaves the connection open")
	}
	if !d.LastRequest().After(before) {
		t.Error("the request after it does not count")
	}
	if closes("/readyz") {
		t.Error("a probe's connection is closed")
	}
}
