package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// askPatience bounds one call of JetStream's API: a stream that is made
	// answers when its group has elected a leader.
	askPatience = 2 * time.Second

	// insistPause is how long after a failed call the next one comes.
	insistPause = 200 * time.Millisecond

	// apiPatience is how long a call is repeated: other faults may leave the
	// cluster without leaders for a while.
	apiPatience = time.Minute
)

// ask calls JetStream's API once, as any operator could. An error that the API
// answers is a *jetstream.APIError.
func (s *Site) ask(ctx context.Context, subject string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	msg, err := s.Conn.RequestWithContext(ctx, "$JS.API."+subject, text)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	var refusal struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &refusal); err != nil {
		return fmt.Errorf("%s: read answer: %w", subject, err)
	}
	if refusal.Error != nil {
		return fmt.Errorf("%s: %w", subject, refusal.Error)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(msg.Data, answer); err != nil {
		return fmt.Errorf("%s: read answer: %w", subject, err)
	}
	return nil
}

// insist repeats a call until it succeeds, or apiPatience or ctx ends. A call
// that was not answered may have been carried out all the same.
func insist(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	var last error
	err := poll(ctx, insistPause, func(ctx context.Context) (bool, error) {
		last = call(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// streamInfo is what a stream's leader says of it.
type streamInfo struct {
	Config map[string]json.RawMessage `json:"config"`
	State  struct {
		Bytes   int64  `json:"bytes"`
		LastSeq uint64 `json:"last_seq"`
	} `json:"state"`
	Cluster struct {
		Leader   string `json:"leader"`
		Replicas []struct {
			Name    string `json:"name"`
			Current bool   `json:"current"`
			Offline bool   `json:"offline"`
			Lag     uint64 `json:"lag"`
		} `json:"replicas"` // the others
	} `json:"cluster"`
}

func (s *Site) streamInfo(ctx context.Context, stream string) (*streamInfo, error) {
	info := &streamInfo{}
	if err := s.ask(ctx, "STREAM.INFO."+stream, nil, info); err != nil {
		return nil, err
	}
	return info, nil
}

// incarnationKey is where Landfall keeps a stream's identity, in its metadata.
const incarnationKey = "landfall.incarnation"

// incarnation is "" if the stream has none.
func (i *streamInfo) incarnation() string {
	var metadata map[string]string
	_ = json.Unmarshal(i.Config["metadata"], &metadata) // none has none
	return metadata[incarnationKey]
}

// maxBytes is the stream's limit.
func (i *streamInfo) maxBytes() (n int64, err error) {
	if err := json.Unmarshal(i.Config["max_bytes"], &n); err != nil {
		return 0, fmt.Errorf("read the stream's max_bytes: %w", err)
	}
	return n, nil
}

// setMaxBytes changes the stream's limit and leaves all else as it is stored.
func (s *Site) setMaxBytes(ctx context.Context, n int64) error {
	return insist(ctx, func(ctx context.Context) error {
		info, err := s.streamInfo(ctx, Stream)
		if err != nil {
			return err
		}
		changed := maps.Clone(info.Config)
		if changed["max_bytes"], err = json.Marshal(n); err != nil {
			return err
		}
		return s.ask(ctx, "STREAM.UPDATE."+Stream, changed, nil)
	})
}

// awaitCaughtUp waits until each replica of a stream, at one moment or
// another, has had all of it. While messages come there may be no moment at
// which all have.
func (s *Site) awaitCaughtUp(ctx context.Context, stream string) error {
	var last error
	caught := make(map[string]bool)
	err := poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		var info *streamInfo
		if info, last = s.streamInfo(ctx, stream); last != nil {
			return false, nil
		}
		for _, r := range info.Cluster.Replicas {
			if r.Current && !r.Offline && r.Lag == 0 {
				caught[r.Name] = true
			}
		}
		caught[info.Cluster.Leader] = true
		return len(caught) == nodes, nil
	})
	if err != nil {
		return fmt.Errorf("wait until the replicas have caught up (%d have): %w", len(caught), errors.Join(err, last))
	}
	return nil
}
