package status

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Kinds of elections, as a label has them. Each is a Raft group: a stream's
// leader acknowledges, its consumer's leader stores, and the leader of the
// cluster as a whole makes and changes streams.
const (
	ElectionStream   = "stream"
	ElectionConsumer = "consumer"
	ElectionMeta     = "meta"
)

// The subjects on which nats-server announces new leaders, in its
// server/jetstream_api.go; STREAM, or STREAM.CONSUMER, follows.
const (
	streamElected   = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."
	consumerElected = "$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED."
)

// listenElections passes the announcements on, until the connection is closed.
func listenElections(nc *nats.Conn, elected func(stream, kind, leader string)) error {
	for _, subject := range []string{streamElected + "*", consumerElected + "*.*"} {
		_, err := nc.Subscribe(subject, func(msg *nats.Msg) {
			if stream, kind := parseElection(msg.Subject); kind != "" {
				var advisory struct {
					Leader string `json:"leader"`
				}
				_ = json.Unmarshal(msg.Data, &advisory) // without it the election counts all the same
				elected(stream, kind, advisory.Leader)
			}
		})
		if err != nil {
			return fmt.Errorf("listen for elections: %w", err)
		}
	}
	return nil
}

// parseElection tells what an announcement is about; kind is "" if it is none.
func parseElection(subject string) (stream, kind string) {
	if stream, ok := strings.CutPrefix(subject, streamElected); ok {
		return stream, ElectionStream
	}
	if rest, ok := strings.CutPrefix(subject, consumerElected); ok {
		stream, _, _ = strings.Cut(rest, ".")
		return stream, ElectionConsumer
	}
	return "", ""
}
