package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// apiTimeout bounds one call. While a leader is being elected nobody answers,
// and asking again half a second later finds the new one sooner than waiting.
const apiTimeout = 500 * time.Millisecond

// ErrNoAnswer is a call that nobody answered in time; most likely a leader is
// being elected.
var ErrNoAnswer = errors.New("no answer from JetStream")

// call asks the JetStream API once and decodes its answer. An error that the
// API answers is a *jetstream.APIError.
func call(ctx context.Context, nc *nats.Conn, subject string, body, answer any) error {
	return callWithin(ctx, nc, apiTimeout, subject, body, answer)
}

func callWithin(ctx context.Context, nc *nats.Conn, timeout time.Duration, subject string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m, err := nc.RequestWithContext(limited, "$JS.API."+subject, text)
	if err != nil {
		// The caller's own deadline is the caller's business; ours is news
		// about the cluster.
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = ErrNoAnswer
		}
		return fmt.Errorf("%s: %w", subject, err)
	}
	var status struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &status); err != nil {
		return fmt.Errorf("%s: answer: %w", subject, err)
	}
	if status.Error != nil {
		return fmt.Errorf("%s: %w", subject, status.Error)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return fmt.Errorf("%s: answer: %w", subject, err)
	}
	return nil
}

// isAPIError tells whether JetStream answered with that error.
func isAPIError(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

// info is what stream and consumer info share, as far as we read it.
type info struct {
	Config struct {
		MaxBytes int64             `json:"max_bytes"`
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
	State struct {
		Messages uint64 `json:"messages"`
		Bytes    uint64 `json:"bytes"`
		FirstSeq uint64 `json:"first_seq"`
		LastSeq  uint64 `json:"last_seq"`
	} `json:"state"`
	Cluster *group `json:"cluster"`
}

// group is a Raft group as its leader sees it.
type group struct {
	Leader   string `json:"leader"`
	Replicas []peer `json:"replicas"` // the others
}

type peer struct {
	Name    string        `json:"name"`
	Offline bool          `json:"offline"`
	Active  time.Duration `json:"active"` // since the leader last heard from it; 0: never
	Lag     uint64        `json:"lag"`    // entries it has yet to store
}

// heard tells whether the leader, by its own account, heard from a majority
// (itself included) within the given time.
func (g *group) heard(within time.Duration) bool {
	if g == nil {
		return true // a stream of a single node
	}
	heard := 1
	for _, p := range g.Replicas {
		if !p.Offline && p.Active > 0 && p.Active <= within {
			heard++
		}
	}
	return 2*heard > len(g.Replicas)+1
}
