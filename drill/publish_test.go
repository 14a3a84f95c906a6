package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a door that gives its answers in turn, the last one for ever.
type scripted []error

func (s scripted) Try(_ context.Context, attempt int, m Message) (Receipt, error) {
	err := s[min(attempt, len(s)-1)]
	return Receipt{Stream: Stream, Seq: uint64(attempt + 1)}, err
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	doubt, no := errors.New("connection reset"), &Refusal{"too large"}
	for _, tc := range []struct {
		name string
		door scripted
		want Outcome
		seq  uint64
	}{
		{"at once", scripted{nil}, Acked, 1},
		{"after doubt", scripted{doubt, doubt, doubt, nil}, Acked, 4},
		{"refused", scripted{no}, Refused, 0},
		{"refused after doubt may be stored", scripted{doubt, no}, Unknown, 0},
		{"wrapped refusal", scripted{fmt.Errorf("publish: %w", no)}, Refused, 0},
		{"never answered", scripted{doubt}, Unknown, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				told := Deliver(t.Context(), tc.door, Message{ID: "m"}, time.Minute)
				if told.Outcome != tc.want || told.Seq != tc.seq {
					t.Errorf("told %+v, want %s at %d", told, tc.want, tc.seq)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("took %s, beyond its patience", took)
				}
			})
		})
	}
}

// recorder is a door that takes a while, and remembers when each message came.
type recorder struct {
	takes time.Duration
	mu    sync.Mutex
	came  map[string]time.Time
}

func (r *recorder) Try(ctx context.Context, _ int, m Message) (Receipt, error) {
	r.mu.Lock()
	r.came[m.ID] = time.Now()
	n := len(r.came)
	r.mu.Unlock()
	pause(ctx, r.takes)
	return Receipt{Stream: Stream, Seq: uint64(n)}, nil
}

func TestLoadKeepsItsSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// One way keeps up; the other is too slow for its share, and must be
		// held against the schedule all the same.
		quick, slow := &recorder{came: map[string]time.Time{}}, &recorder{takes: 30 * time.Millisecond, came: map[string]time.Time{}}
		load := Load{Messages: 101, Rate: 100, Patience: time.Minute, Ways: []Way{
			{Door: quick, Publishers: 4, Compose: compose("r", "quick")},
			{Door: slow, Publishers: 1, Compose: compose("r", "slow")},
		}}
		ledger, began := newLedger(t), time.Now()
		if err := load.Run(t.Context(), ledger); err != nil {
			t.Fatal(err)
		}
		entries := entriesOf(t, ledger)
		if len(entries) != 101 || len(quick.came) != 51 || len(slow.came) != 50 {
			t.Fatalf("%d offered, %d and %d came", len(entries), len(quick.came), len(slow.came))
		}
		for _, e := range entries {
			var n int
			door := strings.Split(e.ID, "-")[1]
			if _, err := fmt.Sscanf(strings.Split(e.ID, "-")[2], "%d", &n); err != nil {
				t.Fatal(err)
			}
			place := 2 * n
			if door == "slow" {
				place++
			}
			if due := began.Add(time.Duration(place) * 10 * time.Millisecond); e.Offered.Sub(due).Abs() > time.Microsecond {
				t.Errorf("%s was offered at %s, not %s", e.ID, e.Offered.Sub(began), due.Sub(began))
			}
			if door == "quick" && !quick.came[e.ID].Equal(e.Offered) {
				t.Errorf("%s was due at %s and came at %s", e.ID, e.Offered.Sub(began), quick.came[e.ID].Sub(began))
			}
		}
	})
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ledger := newLedger(t)
		load := Load{Messages: 1000, Rate: 10, Patience: time.Minute,
			Ways: []Way{{Door: scripted{errors.New("no connection")}, Publishers: 5, Compose: compose("r", "x")}}}
		if err := load.Run(ctx, ledger); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		for _, e := range entriesOf(t, ledger) {
			if e.Outcome != Unknown || e.Told.IsZero() {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestHTTPDoor(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		status  int
		body    string
		refused bool
		ok      bool
	}{
		{"promised", 200, `{"stream":"MESSAGES","seq":42,"msg_id":"k","duplicate":true}`, false, true},
		{"promised nothing we can name", 200, `{}`, false, false},
		{"cut off", 200, `{"stream":`, false, false},
		{"refused", 422, `{"title":"key reused"}`, true, false},
		{"too many", 429, ``, false, false},
		{"no quorum", 503, ``, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked http.Request
			var body []byte
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = *r
				body, _ = io.ReadAll(r.Body)
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			}))
			defer s.Close()
			d := NewHTTPDoor([]string{strings.TrimPrefix(s.URL, "http://")}, 1)
			defer d.Close()
			got, err := d.Try(within(t, 10*time.Second), 0, Message{ID: "key", Subject: "messages.a", Body: []byte("body")})
			var no *Refusal
			if (err == nil) != tc.ok || errors.As(err, &no) != tc.refused {
				t.Errorf("got %+v, %v", got, err)
			}
			if tc.ok && got != (Receipt{Stream: "MESSAGES", Seq: 42, Duplicate: true}) {
				t.Errorf("got %+v", got)
			}
			if asked.Method != "POST" || asked.URL.Path != "/v1/publish/messages.a" || asked.Header.Get("Idempotency-Key") != "key" || string(body) != "body" {
				t.Errorf("asked %s %s with %q", asked.Method, asked.URL, body)
			}
		})
	}
}

func TestHTTPDoorMovesOn(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"stream":"MESSAGES","seq":1}`)
	}))
	defer s.Close()
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	d := NewHTTPDoor([]string{loopback(ports[0]), strings.TrimPrefix(s.URL, "http://")}, 1)
	defer d.Close()
	for n := range 4 {
		if told := Deliver(within(t, 10*time.Second), d, Message{ID: "m", Subject: "messages"}, 10*time.Second); told.Outcome != Acked {
			t.Errorf("message %d: %+v", n, told)
		}
	}
}
