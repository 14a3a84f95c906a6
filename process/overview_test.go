package process

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"landfall/message"
	"landfall/node/nodetest"
	"landfall/pgserver/pgtest"
	"landfall/status"
)

// get asks a node for a path.
func (c *testCluster) get(address, path string) (int, string) {
	c.t.Helper()
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// awaitView waits until a node's status is as wanted.
func (c *testCluster) awaitView(address, what string, ok func(v *status.View) bool) {
	c.t.Helper()
	c.await(what, func() (bool, error) {
		code, body := c.get(address, "/v1/status")
		v := &status.View{}
		if code != http.StatusOK {
			return false, errors.New(body)
		}
		return json.Unmarshal([]byte(body), v) == nil && ok(v), nil
	})
}

// TestAdmin: with an address of its own for operators the intake tells them
// nothing, and a page that is open keeps no node from stopping.
func TestAdmin(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	n := &c.config.Nodes[0]
	n.Admin = nodetest.FreeAddresses(t, 1)[0]
	c.start()
	c.awaitReady("n1")
	for _, path := range []string{"/", "/metrics", "/v1/status", "/v1/dead-letters"} {
		if code, body := c.get(n.HTTP, path); code != http.StatusNotFound {
			t.Errorf("%s at the intake: %d %.100s", path, code, body)
		}
		if code, body := c.get(n.Admin, path); code == http.StatusNotFound {
			t.Errorf("%s for operators: %d %.100s", path, code, body)
		}
	}
	last := c.send("n1", "one", 5)
	c.awaitView(n.Admin, "all is stored", func(v *status.View) bool {
		return v.Verdict.Text == "all stored" && v.Acknowledged != nil && *v.Acknowledged == last && v.Streams[0].Sink == "n1"
	})
	c.await("the metrics say so", func() (bool, error) {
		_, body := c.get(n.Admin, "/metrics")
		return strings.Contains(body, "\nlandfall_cursor_sequence{stream=\"MESSAGES\"} 5\n") && strings.Contains(body, "landfall_stored_messages_total{result=\"row\",stream=\"MESSAGES\"} 5\n") &&
			strings.Contains(body, "landfall_publish_requests_total{result=\"acknowledged\"} 5\n") && strings.Contains(body, "landfall_publish_seconds_count 5\n") &&
			strings.Contains(body, "landfall_publish_to_stored_seconds_count{stream=\"MESSAGES\"} 5\n"), nil
	})

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Admin+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	c.stop("n1")
	if c.logged("requests were cut off") {
		t.Error("the open page was cut off")
	}
}

// TestWhileStarting: the first of three nodes says whom it waits for, before
// there is anything else to say.
func TestWhileStarting(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, pgtest.Database(t))
	c.start("n1")
	n, _ := c.config.Node("n1")
	c.await("it listens", func() (bool, error) {
		resp, err := http.Get("http://" + n.HTTP + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil, err
	})
	c.awaitView(n.HTTP, "it waits for two", func(v *status.View) bool {
		return v.Verdict.Level == status.Amber && v.Verdict.Text == "waiting for n2 and n3" && v.Streams[0].InFlight == nil
	})
}

// TestDeadLettersAreCounted: what waits is in the verdict until it is dealt
// with, wherever that is done.
func TestDeadLettersAreCounted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.start()
	c.awaitReady("n1")
	address := c.config.Nodes[0].HTTP
	c.awaitCursor(c.send("n1", "good", 1))
	if _, err := c.db.Exec(t.Context(), "ALTER TABLE messages ADD CONSTRAINT no_bad CHECK (content <> 'bad')"); err != nil {
		t.Fatal(err)
	}
	c.publish("n1", "messages", "b", "bad")
	c.awaitView(address, "the dead letter", func(v *status.View) bool { return v.Verdict.Text == "1 dead letter" && v.Verdict.NeedsPerson })
	if _, err := c.db.Exec(t.Context(), "UPDATE landfall.dead_letters SET resolved_at = now(), resolution = 'discarded'"); err != nil {
		t.Fatal(err)
	}
	c.awaitView(address, "it was dealt with", func(v *status.View) bool { return v.Verdict.Text == "all stored" })
	counts, err := c.nodes["n1"].store.Counts(t.Context(), []string{"MESSAGES"})
	if err != nil || counts["MESSAGES"] != (message.Counts{}) {
		t.Errorf("%+v, %v", counts, err)
	}
}

// TestPathOfAMessage: what the caller says of its trace is in the row, and at
// debug level the lines of one message have its id.
func TestPathOfAMessage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, pgtest.Database(t))
	c.level = slog.LevelDebug
	c.start()
	c.awaitReady("n1")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.config.Nodes[0].HTTP+"/v1/publish/messages?ack=stored", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	req.Header.Set("Traceparent", trace)
	req.Header.Set("Idempotency-Key", "the-one")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	if n := c.count("SELECT count(*) FROM messages WHERE headers -> 'traceparent' ->> 0 = $1 AND msg_id = 'the-one'", trace); n != 1 {
		t.Errorf("%d rows have the trace", n)
	}
	for _, line := range []string{`msg=acknowledged node=n1 stream=MESSAGES sequence=1 id=the-one`, `msg="in Postgres" node=n1 stream=MESSAGES sequence=1 id=the-one`} {
		if !c.logged(line) {
			t.Errorf("there is no %s", line)
		}
	}
}
