package drill

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// replica is what a node says of its own store of a stream while it leads.
type replica struct {
	nc           *nats.Conn
	stream, node string

	state    replicaState
	consumer bool

	sampled []uint64 // sequences asked for
	hashes  []Hash   // of those messages; zero: there is none
}

// replicaState is what has to be the same.
type replicaState struct {
	First    uint64 `json:"first_seq"`
	Last     uint64 `json:"last_seq"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	Deleted  int    `json:"num_deleted"`
}

func (s replicaState) String() string {
	return fmt.Sprintf("%d messages in %d bytes, %d to %d with %d deleted", s.Messages, s.Bytes, s.First, s.Last, s.Deleted)
}

var errLedAway = errors.New("another node has come to lead")

// look takes the state and the sample. Whatever the node says counts only if
// it leads before and after: else the answers may be another's.
func (r *replica) look(ctx context.Context) error {
	if err := r.lookAtState(ctx); err != nil {
		return err
	}
	if r.sampled == nil {
		r.sampled = sampleOf(r.state.First, r.state.Last, replicaSample)
	}
	r.hashes = make([]Hash, len(r.sampled))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(replicaAsking)
	for i, seq := range r.sampled {
		g.Go(func() (err error) {
			r.hashes[i], err = r.message(gctx, seq)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.lookAtState(ctx)
}

func (r *replica) lookAtState(ctx context.Context) error {
	var info struct {
		State   replicaState `json:"state"`
		Cluster *struct {
			Leader string `json:"leader"`
		} `json:"cluster"`
	}
	if _, err := r.ask(ctx, "STREAM.INFO."+r.stream, nil, &info); err != nil {
		return err
	}
	if info.Cluster != nil && info.Cluster.Leader != r.node && info.Cluster.Leader != "" {
		return fmt.Errorf("%w: %s", errLedAway, info.Cluster.Leader)
	}
	r.state = info.State
	var consumer struct {
		Name string `json:"name"`
	}
	refused, err := r.ask(ctx, "CONSUMER.INFO."+r.stream+"."+Consumer, nil, &consumer)
	r.consumer = err == nil && consumer.Name == Consumer
	if refused != nil {
		return nil // that it is not there is what was asked
	}
	return err
}

// message is what a message is, with its subject, headers, body and time.
func (r *replica) message(ctx context.Context, seq uint64) (Hash, error) {
	var answer struct {
		Message struct {
			Subject string    `json:"subject"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	question, err := json.Marshal(map[string]uint64{"seq": seq})
	if err != nil {
		return Hash{}, fmt.Errorf("ask for message %d: %w", seq, err)
	}
	refused, err := r.ask(ctx, "STREAM.MSG.GET."+r.stream, question, &answer)
	if refused != nil && refused.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return Hash{}, nil
	}
	if err != nil {
		return Hash{}, err
	}
	m := answer.Message
	all := binary.BigEndian.AppendUint64(nil, uint64(m.Time.UnixNano()))
	for _, part := range [][]byte{[]byte(m.Subject), m.Header, m.Data} {
		all = append(binary.BigEndian.AppendUint64(all, uint64(len(part))), part...)
	}
	return HashOf(all), nil
}

// ask puts a question to JetStream until it is answered. refused is its
// definite no, which err holds as well.
func (r *replica) ask(ctx context.Context, what string, question []byte, answer any) (refused *jetstream.APIError, err error) {
	var last error
	err = poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		msg, err := r.nc.RequestWithContext(once, "$JS.API."+what, question)
		if last = err; err != nil {
			return false, nil
		}
		var no struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := errors.Join(json.Unmarshal(msg.Data, &no), json.Unmarshal(msg.Data, answer)); err != nil {
			return false, fmt.Errorf("read answer: %w", err)
		}
		if last = nil; no.Error == nil {
			return true, nil
		}
		if last = no.Error; no.Error.Code >= 500 {
			return false, nil // nobody leads, just now
		}
		refused = no.Error
		return false, no.Error
	})
	if err != nil {
		return refused, fmt.Errorf("ask %s: %w", what, errors.Join(err, last))
	}
	return nil, nil
}
