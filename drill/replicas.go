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

const (
	// replicaTries is how often replicas are compared before their difference
	// is a finding: the sink may trim the stream in the middle of it.
	replicaTries = 3

	// replicaLead is how long a node may take until it leads. One that cannot
	// has no replica worth the name.
	replicaLead = 30 * time.Second

	replicaSample = 2000
	replicaAsking = 16 // questions at a time
)

// Replicas has each of the nodes lead the stream and its consumer in turn, and
// holds against each other what they say of their own stores: first and last
// sequence, messages, bytes, deleted ones, that the consumer is there, and a
// sample of messages, half of it from the end. Each disagreement is a finding.
// Nothing may be published meanwhile. An error is the drill's own: that ctx
// ended, or that nobody answered.
func Replicas(ctx context.Context, nc *nats.Conn, stream string, nodes []string) (findings []string, err error) {
	for range replicaTries {
		findings, err = compareReplicas(ctx, nc, stream, nodes)
		switch {
		case errors.Is(err, errLedAway):
			findings = []string{err.Error()}
		case err != nil || len(findings) == 0:
			return nil, err
		}
	}
	return findings, nil
}

func compareReplicas(ctx context.Context, nc *nats.Conn, stream string, nodes []string) ([]string, error) {
	var views []*replica
	var findings []string
	for _, node := range nodes {
		r := &replica{nc: nc, stream: stream, node: node}
		if len(nodes) > 1 {
			lead, cancel := context.WithTimeout(ctx, replicaLead)
			err := LeadBoth(lead, nc, stream, node)
			cancel()
			if ctx.Err() != nil {
				return nil, fmt.Errorf("compare replicas: %w", context.Cause(ctx))
			}
			if err != nil {
				findings = append(findings, fmt.Sprintf("replica %s: it does not come to lead: %v", node, err))
				continue
			}
		}
		if len(views) > 0 {
			r.sampled = views[0].sampled // the same for all
		}
		if err := r.look(ctx); err != nil {
			return nil, fmt.Errorf("compare replicas: %s: %w", node, err)
		}
		views = append(views, r)
	}
	for _, r := range views[min(1, len(views)):] {
		findings = append(findings, views[0].against(r)...)
	}
	return findings, nil
}

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

// against holds two replicas against each other.
func (r *replica) against(other *replica) []string {
	var findings []string
	differ := func(format string, args ...any) {
		findings = append(findings, fmt.Sprintf("replicas %s and %s differ: ", r.node, other.node)+fmt.Sprintf(format, args...))
	}
	if r.state != other.state {
		differ("%s; %s", r.state, other.state)
	}
	if !r.consumer || !other.consumer {
		differ("consumer %s is there: %v; %v", Consumer, r.consumer, other.consumer)
	}
	n, first := 0, uint64(0)
	for i, seq := range r.sampled {
		if r.hashes[i] == other.hashes[i] {
			continue
		}
		if n++; first == 0 {
			first = seq
		}
	}
	if n > 0 {
		differ("%d of %d messages looked at, the first at %d", n, len(r.sampled), first)
	}
	return findings
}

// sampleOf are up to n sequences from first to last: half of them at the end,
// where nodes that die differ, and the others spread over all.
func sampleOf(first, last uint64, n int) []uint64 {
	if last < first || last == 0 {
		return []uint64{}
	}
	held := last - first + 1
	if held <= uint64(n) {
		n = int(held)
		list := make([]uint64, 0, n)
		for seq := first; seq <= last; seq++ {
			list = append(list, seq)
		}
		return list
	}
	tail, spread := uint64(n/2), uint64(n-n/2)
	list := make([]uint64, 0, n)
	for i := range spread {
		list = append(list, first+i*((held-tail)/spread))
	}
	for seq := last - tail + 1; seq <= last; seq++ {
		list = append(list, seq)
	}
	return list
}
