package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Consumer is the name of the consumer through which a stream is stored: the
// node that leads it is the one that writes to Postgres.
const Consumer = "postgres"

// askLeader bounds one question: while leaders are elected nobody answers.
const askLeader = 500 * time.Millisecond

// Leaders are the nodes that lead a stream (and acknowledge publishes) and its
// consumer (and write to Postgres). A name is "" while there is no leader.
type Leaders struct {
	Stream   string
	Consumer string
}

// Both is the node that leads both, or "".
func (l Leaders) Both() string {
	if l.Stream != l.Consumer {
		return ""
	}
	return l.Stream
}

// Complete tells whether both have a leader.
func (l Leaders) Complete() bool { return l.Stream != "" && l.Consumer != "" }

// WhoLeads asks the cluster once. It fails while nobody answers.
func WhoLeads(ctx context.Context, nc *nats.Conn, stream string) (Leaders, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return Leaders{}, fmt.Errorf("who leads %s: %w", stream, err)
	}
	ctx, cancel := context.WithTimeout(ctx, askLeader)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return Leaders{}, fmt.Errorf("who leads %s: %w", stream, err)
	}
	c, err := s.Consumer(ctx, Consumer)
	if err != nil {
		return Leaders{}, fmt.Errorf("who leads %s/%s: %w", stream, Consumer, err)
	}
	return Leaders{leaderOf(s.CachedInfo().Cluster), leaderOf(c.CachedInfo().Cluster)}, nil
}

func leaderOf(info *jetstream.ClusterInfo) string {
	if info == nil {
		return ""
	}
	return info.Leader
}

// AwaitLeaders waits until both have a leader and ok is content with them.
func AwaitLeaders(ctx context.Context, nc *nats.Conn, stream string, ok func(Leaders) bool) (Leaders, error) {
	var last error
	var found Leaders
	err := poll(ctx, 20*time.Millisecond, func(ctx context.Context) (bool, error) {
		found, last = WhoLeads(ctx, nc, stream)
		return last == nil && found.Complete() && ok(found), nil
	})
	if err != nil {
		return found, fmt.Errorf("wait for leaders of %s: %w", stream, errors.Join(err, last))
	}
	return found, nil
}

// LeadBoth makes one node lead both the stream and its consumer, and waits
// until it does. Elections are not orders: it asks again until ctx ends.
func LeadBoth(ctx context.Context, nc *nats.Conn, stream, node string) error {
	var last error
	err := poll(ctx, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
		var now Leaders
		now, last = WhoLeads(ctx, nc, stream)
		if last != nil || !now.Complete() {
			return false, nil
		}
		var moved error
		if now.Stream != node {
			moved = stepDown(ctx, nc, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, node)
		}
		if now.Consumer != node {
			moved = errors.Join(moved, stepDown(ctx, nc, "$JS.API.CONSUMER.LEADER.STEPDOWN."+stream+"."+Consumer, node))
		}
		last = moved
		return now.Both() == node, nil
	})
	if err != nil {
		return fmt.Errorf("make %s lead %s and its consumer: %w", node, stream, errors.Join(err, last))
	}
	return nil
}

// stepDown asks the present leader to hand over to a node. nats.go has no call
// for it.
func stepDown(ctx context.Context, nc *nats.Conn, subject, to string) error {
	type placement struct {
		Preferred string `json:"preferred"`
	}
	req, err := json.Marshal(map[string]placement{"placement": {Preferred: to}})
	if err != nil {
		return fmt.Errorf("step down in favour of %s: %w", to, err)
	}
	ctx, cancel := context.WithTimeout(ctx, askLeader)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, subject, req)
	if err != nil {
		return fmt.Errorf("step down in favour of %s: %w", to, err)
	}
	var resp struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &resp); err != nil {
		return fmt.Errorf("step down in favour of %s: read answer: %w", to, err)
	}
	if resp.Error != nil {
		return fmt.Errorf("step down in favour of %s: %w", to, resp.Error)
	}
	return nil
}
