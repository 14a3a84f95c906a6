package process

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"landfall/pgserver/pgtest"
)

// TestStopAmidABatch: a batch whose client goes on sending is answered by the
// node that stops, with what it has of it, and not cut off.
func TestStopAmidABatch(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.start()
	c.awaitReady("n1")
	body, lines := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, "http://"+c.config.Nodes[0].HTTP+"/v1/publish/messages.batch", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", "endless")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(lines, "{}\n"); err != nil {
				return
			}
			<-tick.C
		}
	}()
	answered := make(chan error, 1)
	var answer string
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			answer = resp.Status + " " + string(text)
		}
		_ = body.CloseWithError(io.ErrClosedPipe)
		answered <- err
	}()
	c.awaitCursor(3)
	c.stop("n1")
	if err := <-answered; err != nil || !strings.HasPrefix(answer, "503") || !strings.Contains(answer, `"acknowledged":`) {
		t.Errorf("%s, %v", answer, err)
	}
	<-sent
	if c.logged("requests were cut off") {
		t.Error("cut off")
	}
}

// TestStopAmidAWait: who waits for a Postgres that is away is answered by the
// node that stops, too.
func TestStopAmidAWait(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "postgres://app:app@127.0.0.1:1/app")
	c.start()
	c.awaitReady("n1")
	url := "http://" + c.config.Nodes[0].HTTP + "/v1/publish/messages.wait?ack=stored&timeout=30s"
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Post(url, "text/plain", strings.NewReader("body"))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				err = errors.New(resp.Status)
			}
		}
		answered <- err
	}()
	js := c.jetStream()
	c.await("the message is in the stream", func() (bool, error) {
		s, err := js.Stream(t.Context(), "MESSAGES")
		return err == nil && s.CachedInfo().State.Msgs == 1, err
	})
	c.stop("n1")
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
