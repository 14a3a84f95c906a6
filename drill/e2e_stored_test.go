package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"landfall/pgserver/pgtest"
)

// settledAnswer is what a request that waits for Postgres is told.
type settledAnswer struct {
	status int
	Seq    uint64 `json:"seq"`
	Stored *bool  `json:"stored"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// postStored sends a message to one node and waits for Postgres, repeating it
// while the node is down or says 503.
func postStored(ctx context.Context, host, key, body string, timeout time.Duration) (a settledAnswer, err error) {
	url := fmt.Sprintf("http://%s/v1/publish/messages.stored?ack=stored&timeout=%v", host, timeout)
	err = poll(ctx, 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return false, err
		}
		req.Header.Set("Idempotency-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // it is down, and comes again
		}
		defer resp.Body.Close()
		a = settledAnswer{status: resp.StatusCode}
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			return false, nil //nolint:nilerr // it went down in the middle
		}
		return a.status != http.StatusServiceUnavailable, nil
	})
	return a, err
}

// Every node answers for every message when it is a row, while the node that
// stores is killed; says so when Postgres cannot hold one; and says that it
// does not know when Postgres is away.
func TestStoredAnswers(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	r := upRig(t, Options{DatabaseURL: server.URL()})
	db, err := pgxpool.New(t.Context(), r.url)
	r.must(err)
	defer db.Close()
	nc := r.dial()
	ctx := within(t, 2*time.Minute)

	const before, after = 50, 100 // messages at each node, before the kill and after it
	killed := make(chan struct{})
	var reached, all errgroup.Group
	for _, host := range r.HTTPHosts() {
		half := make(chan struct{})
		there := sync.OnceFunc(func() { close(half) })
		reached.Go(func() error { <-half; return nil })
		all.Go(func() error {
			defer there() // also on errors
			for i := range before + after {
				if i == before {
					there()
				}
				if i == before+after/2 {
					select { // half of what comes after, and the answers in hand, see the kill
					case <-killed:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				key := fmt.Sprintf("%s-%d", host, i)
				a, err := postStored(ctx, host, key, "body of "+key, 20*time.Second)
				if err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				var rows int
				if err := db.QueryRow(ctx, "SELECT count(*) FROM messages WHERE msg_id = $1", key).Scan(&rows); err != nil {
					return err
				}
				if a.status != http.StatusOK || a.Stored == nil || !*a.Stored || rows != 1 {
					t.Errorf("%s: %+v, and there are %d rows", key, a, rows)
				}
			}
			return nil
		})
	}
	r.must(reached.Wait())
	leaders, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true })
	r.must(err)
	r.must(r.killAgain(ctx, nc, leaders.Consumer))
	close(killed)
	r.must(all.Wait())
	r.must(r.AwaitReady(ctx))

	_, err = db.Exec(ctx, "ALTER TABLE messages ADD CONSTRAINT no_poison CHECK (content <> 'poison')")
	r.must(err)
	for i, host := range r.HTTPHosts() {
		a, err := postStored(ctx, host, fmt.Sprintf("poison-%d", i), "poison", 20*time.Second)
		if err != nil || a.status != http.StatusUnprocessableEntity || !strings.HasSuffix(a.Type, ":dead-letter") || !strings.Contains(a.Detail, "no_poison") {
			t.Errorf("poison at %s: %+v, %v", host, a, err)
		}
	}

	r.must(server.Kill())
	for i, host := range r.HTTPHosts() {
		a, err := postStored(ctx, host, fmt.Sprintf("away-%d", i), "kept", time.Second)
		if err != nil || a.status != http.StatusAccepted || a.Stored == nil || *a.Stored || a.Seq == 0 {
			t.Errorf("without Postgres at %s: %+v, %v", host, a, err)
		}
	}
	r.must(server.Restart(ctx))
	for i, host := range r.HTTPHosts() {
		a, err := postStored(ctx, host, fmt.Sprintf("away-%d", i), "kept", 20*time.Second)
		if err != nil || a.status != http.StatusOK {
			t.Errorf("with Postgres again at %s: %+v, %v", host, a, err)
		}
	}
}
