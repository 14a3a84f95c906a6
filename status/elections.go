package status

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

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

// leaders are the streams' leaders and when nodes were lost, for the time that
// an election took.
type leaders struct {
	mu   sync.Mutex
	of   map[string]string
	lost map[string]time.Time
}

// Listen counts the elections that the cluster announces, until the connection
// is closed.
func (v *Overview) Listen(nc *nats.Conn) error { return listenElections(nc, v.elected) }

// MetaElected is told of an election of the cluster's own leader, which is
// announced to no client.
func (v *Overview) MetaElected() { v.elected("", ElectionMeta, "") }

// elected counts an election. Those of streams that cluster.yaml does not name
// are left out: their names are other people's, and there is no end to them.
func (v *Overview) elected(stream, kind, leader string) {
	if stream != "" && v.sinks[stream] == nil {
		return
	}
	v.elections.Add(1)
	v.o.Metrics.elected(stream, kind)
	if kind != ElectionStream || leader == "" {
		return
	}
	now := time.Now()
	v.leaders.mu.Lock()
	before := v.leaders.of[stream]
	v.leaders.of[stream] = leader
	e := Event{Time: now, Kind: LeaderElected, Node: leader, Stream: stream, Text: fmt.Sprintf("%s leads %s", leader, stream)}
	if lost, ok := v.leaders.lost[before]; ok && before != leader && now.Sub(lost) < tooLong {
		e.Took = now.Sub(lost).Seconds()
	}
	v.leaders.mu.Unlock()
	v.diary.note(e)
}

// lost notes when a node was, for whoever is elected in its place.
func (v *Overview) lost(node string, now time.Time) {
	v.leaders.mu.Lock()
	defer v.leaders.mu.Unlock()
	v.leaders.lost[node] = now
}
