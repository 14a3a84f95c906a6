package node

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
)

// consumerConfig is the part of a consumer's configuration we care about.
// Nothing is acknowledged to it and its position lives in memory: Postgres
// has the cursor, and every pull begins with a reset to it.
type consumerConfig struct {
	Durable       string `json:"durable_name"`
	DeliverPolicy string `json:"deliver_policy"`
	AckPolicy     string `json:"ack_policy"`
	ReplayPolicy  string `json:"replay_policy"`
	Filter        string `json:"filter_subject,omitempty"`
	MaxWaiting    int    `json:"max_waiting"` // pulls of sinks that are gone count until noticed
	Replicas      int    `json:"num_replicas"`
	MemoryStorage bool   `json:"mem_storage"`
}

func (n *Node) wantedConsumer() consumerConfig {
	return consumerConfig{
		Durable: Consumer, DeliverPolicy: "all", AckPolicy: "none", ReplayPolicy: "instant",
		MaxWaiting: 64, Replicas: n.cfg.Replicas(), MemoryStorage: true,
	}
}

// ensureConsumer looks before it creates: a rejected create has destroyed
// consumers before (nats-server#8491).
func (n *Node) ensureConsumer(ctx context.Context, s cluster.Stream) error {
	want := n.wantedConsumer()
	var stored struct {
		Config consumerConfig `json:"config"`
	}
	err := call(ctx, n.conn, "CONSUMER.INFO."+s.Name+"."+Consumer, nil, &stored)
	if isAPIError(err, jetstream.JSErrCodeConsumerNotFound) {
		return n.createConsumer(ctx, s.Name, want)
	}
	if err != nil {
		return err
	}
	if have := stored.Config; have != want {
		return &mismatchError{fmt.Sprintf("its consumer %s exists with other settings (%+v); remove it with \"app nats consumer rm %s %s\", it keeps nothing and is made anew",
			Consumer, have, s.Name, Consumer)}
	}
	return nil
}

func (n *Node) createConsumer(ctx context.Context, stream string, config consumerConfig) error {
	body := struct {
		Stream string         `json:"stream_name"`
		Config consumerConfig `json:"config"`
		Action string         `json:"action"`
	}{stream, config, "create"}
	return callWithin(ctx, n.conn, createTimeout, "CONSUMER.CREATE."+stream+"."+Consumer, body, nil)
}
