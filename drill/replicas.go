package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
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
