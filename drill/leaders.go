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

// askAgain is how often the question is put anew while an answer is awaited:
// a question that met no leader is lost, and waiting for its answer would make
// every election look as long as the wait.
const askAgain = 20 * time.Millisecond

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

// WhoLeads asks the cluster. It fails if the answers stay out.
func WhoLeads(ctx context.Context, nc *nats.Conn, stream string) (Leaders, error) {
	ctx, cancel := context.WithTimeout(ctx, askLeader)
	defer cancel()
	return AwaitLeaders(ctx, nc, stream, func(Leaders) bool { return true })
}

// AwaitLeaders asks until both have a leader and ok is content with them.
func AwaitLeaders(ctx context.Context, nc *nats.Conn, stream string, ok func(Leaders) bool) (Leaders, error) {
	inbox := nc.NewInbox()
	answers := make(chan *nats.Msg, 64)
	sub, err := nc.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return Leaders{}, fmt.Errorf("who leads %s: %w", stream, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails only with the connection

	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	var found Leaders
	last := errNoAnswer
	for {
		select {
		case <-ctx.Done():
			return found, fmt.Errorf("who leads %s (stream %q, consumer %q): %w", stream, found.Stream, found.Consumer,
				errors.Join(context.Cause(ctx), last))
		case <-tick.C:
			// What cannot be sent now is asked again.
			if err := errors.Join(
				nc.PublishRequest("$JS.API.STREAM.INFO."+stream, inbox+".stream", nil),
				nc.PublishRequest("$JS.API.CONSUMER.INFO."+stream+"."+Consumer, inbox+".consumer", nil),
			); err != nil {
				last = err
			}
		case msg := <-answers:
			leader, err := leaderIn(msg)
			if err != nil {
				last = err
				continue
			}
			if msg.Subject == inbox+".stream" {
				found.Stream = leader
			} else {
				found.Consumer = leader
			}
			if found.Complete() && ok(found) {
				return found, nil
			}
		}
	}
}

var errNoAnswer = errors.New("no answer")

// leaderIn reads the leader from an answer about a stream or a consumer.
func leaderIn(msg *nats.Msg) (string, error) {
	if len(msg.Data) == 0 { // no responders
		return "", errNoAnswer
	}
	var info struct {
		Cluster struct {
			Leader string `json:"leader"`
		} `json:"cluster"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	if info.Error != nil {
		return "", info.Error
	}
	return info.Cluster.Leader, nil
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
