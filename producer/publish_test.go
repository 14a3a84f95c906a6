package producer

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"landfall/message"
)

// event is what happens to one attempt. The two ways to fail are what makes
// publishing hard: nothing was stored, or it was and nobody said so.
type event int

const (
	ack          event = iota // stored, and said so
	nobody                    // no responders
	unavailable               // 10008
	full                      // 10077
	throttled                 // 10167
	inProcess                 // 10158
	disconnected              // stored nothing
	lost                      // stored nothing, and never answers
	storedLost                // stored, and never answers
	storedBroken              // stored, and the connection breaks
	delayed                   // stored, and said so after three seconds
	lastEvent    = delayed
)

// world is a stream with a leader that misbehaves as told, one event for each
// attempt, the last one for ever.
type world struct {
	mu     sync.Mutex // guards the rest
	events []event
	seen   []*nats.Msg       // every attempt
	stored []message.Message // what is really in the stream
	broken int               // so many reads fail before one succeeds
}

func (w *world) PublishMsg(ctx context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	e, a := w.happen(m)
	refusal := func(code int, errCode jetstream.ErrorCode) (*jetstream.PubAck, error) {
		return nil, fmt.Errorf("nats: %w", &jetstream.APIError{Code: code, ErrorCode: errCode, Description: "as told"})
	}
	switch e {
	case nobody:
		return nil, jetstream.ErrNoStreamResponse
	case unavailable:
		return refusal(503, 10008)
	case full:
		return refusal(503, 10077)
	case throttled:
		return refusal(429, 10167)
	case inProcess:
		return refusal(409, 10158)
	case disconnected, storedBroken:
		return nil, nats.ErrDisconnected
	case lost, storedLost:
		<-ctx.Done()
		return nil, ctx.Err()
	case delayed:
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(3 * time.Second):
		}
	}
	return a, nil
}

// happen takes the next event, and stores the message if it says so.
func (w *world) happen(m *nats.Msg) (event, *jetstream.PubAck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.events[0]
	if len(w.events) > 1 {
		w.events = w.events[1:]
	}
	w.seen = append(w.seen, m)
	switch e {
	case ack, storedLost, storedBroken, delayed:
		return e, w.store(m)
	}
	return e, nil
}

// store does what JetStream does: the first message under an id wins.
func (w *world) store(m *nats.Msg) *jetstream.PubAck {
	id := m.Header.Get(message.IDHeader)
	i := slices.IndexFunc(w.stored, func(s message.Message) bool { return s.ID() == id })
	if i >= 0 {
		return &jetstream.PubAck{Stream: "MESSAGES", Sequence: w.stored[i].Seq, Duplicate: true}
	}
	seq := uint64(len(w.stored) + 1)
	w.stored = append(w.stored, message.Message{Seq: seq, Subject: m.Subject, Header: m.Header, Data: m.Data})
	return &jetstream.PubAck{Stream: "MESSAGES", Sequence: seq}
}

func (w *world) read(_ context.Context, _ string, seq uint64) (message.Message, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken > 0 {
		w.broken--
		return message.Message{}, false, nats.ErrTimeout
	}
	return w.stored[seq-1], true, nil
}

// door to that world. A context that is cancelled stands for a client that
// goes away.
func (w *world) door(o Options) *Door {
	o.Streams = theStreams
	d := New(o)
	d.backend.Store(&Backend{Publisher: w, Stored: w.read})
	return d
}

// check that what a client was told is true of the world, whatever happened.
func (w *world) check(answered *httptest.ResponseRecorder, key string) error {
	for _, m := range w.seen {
		if got, first := m.Header.Get(message.IDHeader), w.seen[0].Header.Get(message.IDHeader); got != first || got == "" || key != "" && got != key {
			return fmt.Errorf("attempts under %q and %q", first, got)
		}
	}
	if len(w.stored) > 1 {
		return fmt.Errorf("stored %d times", len(w.stored))
	}
	if answered.Code < 300 && len(w.stored) != 1 {
		return errors.New("told 2xx, and nothing is stored")
	}
	return nil
}

func TestHold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		events   []event
		broken   int
		status   int
		problem  string
		attempts int           // 0: any number
		within   time.Duration // of the answer
	}{
		"at once":                    {events: []event{ack}, status: 200, attempts: 1},
		"election without responder": {events: []event{nobody, nobody, unavailable, ack}, status: 200, attempts: 4, within: 300 * time.Millisecond},
		"leader died unheard":        {events: []event{lost, ack}, status: 200, attempts: 2, within: 1100 * time.Millisecond},
		"leader died after storing":  {events: []event{storedLost, ack}, status: 200, attempts: 2, within: 1100 * time.Millisecond},
		"connection broke":           {events: []event{storedBroken, disconnected, ack}, status: 200, attempts: 3, within: time.Second},
		"being decided":              {events: []event{storedLost, inProcess, inProcess, ack}, status: 200, attempts: 4, within: 2 * time.Second},
		"throttled":                  {events: []event{throttled, ack}, status: 200, attempts: 2, within: time.Second},
		"full for a moment":          {events: []event{full, full, ack}, status: 200, attempts: 3, within: time.Second},
		"full":                       {events: []event{full}, status: 503, problem: "stream-full", within: 10 * time.Second},
		"no quorum":                  {events: []event{nobody}, status: 503, problem: "no-quorum", within: 10 * time.Second},
		"never answers":              {events: []event{lost}, status: 503, problem: "no-quorum", within: 10 * time.Second},
		"stores and never answers":   {events: []event{storedLost}, status: 503, problem: "no-quorum", within: 10 * time.Second},
		"compared at the second try": {events: []event{storedLost, ack}, broken: 3, status: 200, within: 2 * time.Second},
		"cannot be compared":         {events: []event{storedLost, ack}, broken: 1000, status: 503, problem: "not-compared", within: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{events: c.events, broken: c.broken}
				start := time.Now()
				got := post("messages", "x", "Idempotency-Key", "k").at(w.door(Options{}))
				if took := time.Since(start); took > c.within {
					t.Errorf("took %v, expected %v at most", took, c.within)
				}
				if err := w.check(got, "k"); err != nil {
					t.Error(err)
				}
				if c.attempts != 0 && len(w.seen) != c.attempts {
					t.Errorf("%d attempts, want %d", len(w.seen), c.attempts)
				}
				if c.status != 200 {
					if p := refusedWith(t, got, c.status, c.problem); p.MsgID != "k" {
						t.Errorf("msg_id %q", p.MsgID)
					}
				} else if r := acked(t, got); r.Duplicate {
					t.Error("its own repeat is called a duplicate")
				}
			})
		})
	}
}

// Whatever happens, a 2xx means one message, and no answer means two.
func TestHoldNeverLies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, int(lastEvent)), func(i int) event { return event(i) }), 1, 40).Draw(rt, "events")
		key := rapid.SampledFrom([]string{"", "k"}).Draw(rt, "key")
		broken := rapid.IntRange(0, 60).Draw(rt, "broken reads")
		var err error
		synctest.Test(t, func(*testing.T) {
			w := &world{events: events, broken: broken}
			c := post("messages", "x")
			if key != "" {
				c = post("messages", "x", "Idempotency-Key", key)
			}
			start := time.Now()
			got := c.at(w.door(Options{}))
			err = w.check(got, key)
			if took := time.Since(start); took > 10*time.Second {
				err = errors.Join(err, fmt.Errorf("held for %v", took))
			}
			if got.Code != 200 && got.Code != 503 {
				err = errors.Join(err, fmt.Errorf("status %d: %s", got.Code, got.Body))
			}
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// TestSlowLeader: a leader that takes its time is given it, and not sent the
// message again every second.
func TestSlowLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{events: []event{delayed}}
		if r := acked(t, post("messages", "body").at(w.door(Options{}))); r.Duplicate {
			t.Errorf("answered %+v", r)
		}
		if n := len(w.seen); n > 3 {
			t.Errorf("it was sent %d times", n)
		}
	})
}

// An error that no repeat can help is answered at once.
func TestHopeless(t *testing.T) {
	t.Parallel()
	api := func(code int, errCode jetstream.ErrorCode) error {
		return fmt.Errorf("nats: %w", &jetstream.APIError{Code: code, ErrorCode: errCode})
	}
	for _, c := range []struct {
		err  error
		want error
	}{
		{nats.ErrConnectionClosed, errStopping},
		{nats.ErrConnectionDraining, errStopping},
		{nats.ErrMaxPayload, errTooLarge},
		{api(400, 10054), errTooLarge},
		{api(400, 10097), errHeadersTooLarge},
		{api(400, 10109), errRefused}, // sealed
		{api(409, 10158), nil},
		{api(429, 10167), nil},
		{api(503, 10008), nil},
		{api(503, 10023), nil},
		{api(503, 10077), nil},
		{api(500, 10009), nil}, // not the leader
		{nats.ErrTimeout, nil},
		{nats.ErrDisconnected, nil},
		{nats.ErrReconnectBufExceeded, nil},
		{jetstream.ErrNoStreamResponse, nil},
		{jetstream.ErrInvalidJSAck, nil},
		{errStranger, nil},
	} {
		if got := hopeless(c.err); !errors.Is(got, c.want) {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	if got := unacknowledged(api(503, 10023)); !errors.Is(got, errNoResources) {
		t.Errorf("10023: %v", got)
	}
}

// Whether "duplicate" is said: not for one's own repeat, also not when it
// cannot be known; but for what was there before.
func TestDuplicate(t *testing.T) {
	t.Parallel()
	before := message.Message{Seq: 1, Subject: "messages", Data: []byte("x"), Header: map[string][]string{message.IDHeader: {"k"}}}
	other := before
	other.Data = []byte("y")
	for name, c := range map[string]struct {
		stored    message.Message
		events    []event
		status    int
		duplicate bool
	}{
		"there before":                          {before, []event{ack}, 200, true},
		"there before, attempt refused":         {before, []event{full, nobody, ack}, 200, true},
		"there before, attempt without outcome": {before, []event{lost, ack}, 200, false},
		"another one there before":              {other, []event{ack}, 422, false},
		"another one, attempt without outcome":  {other, []event{lost, ack}, 422, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{events: c.events, stored: []message.Message{c.stored}}
				got := post("messages", "x", "Idempotency-Key", "k").at(w.door(Options{}))
				if c.status != 200 {
					refusedWith(t, got, c.status, "key-reused")
				} else if r := acked(t, got); r.Duplicate != c.duplicate {
					t.Errorf("duplicate %v, want %v", r.Duplicate, c.duplicate)
				}
			})
		})
	}
}

// A client that goes away is not published for any longer.
func TestClientGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{events: []event{lost}}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		r := httptest.NewRequest("POST", "/v1/publish/messages", nil).WithContext(ctx)
		rec, start := httptest.NewRecorder(), time.Now()
		watched(w.door(Options{})).ServeHTTP(rec, r)
		refusedWith(t, rec, 503, "gone")
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("went on for %v", took)
		}
	})
}

// An acknowledgement by another stream is none.
func TestStranger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{events: []event{ack}}
		p := refusedWith(t, post("small.x", "x").at(w.door(Options{})), 503, "no-quorum")
		if want := "there was no acknowledgement; stream SMALL was tried for 10s, at last: an acknowledgement from elsewhere: MESSAGES answered, not SMALL"; p.Detail != want {
			t.Errorf("detail %q", p.Detail)
		}
	})
}

// A new leader ends the waiting for the old one.
func TestAnnouncementWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{events: []event{lost, nobody, ack}}
		d := w.door(Options{})
		start := time.Now()
		announce := time.AfterFunc(300*time.Millisecond, d.bells["MESSAGES"].ring)
		defer announce.Stop()
		other := time.AfterFunc(100*time.Millisecond, d.bells["SMALL"].ring)
		defer other.Stop()
		acked(t, post("messages", "x").at(d))
		if took := time.Since(start); took < 300*time.Millisecond || took > 330*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}
