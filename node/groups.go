package node

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A stream, its consumer and the cluster as a whole are each a Raft group, and
// a group can stop for good on one node while the server goes on without it:
// when it cannot write its log, when an entry cannot be applied, when its
// directory is gone. The server says so in its log at most (log.go listens
// there), and the cluster goes on believing that it has a replica. So the groups
// are looked at, too: which there have to be, which there are, and whether what
// they have decided is also done.

const (
	// groupsPoll is how often.
	groupsPoll = time.Second

	// groupsPatience is for how many looks in a row something must be wrong. A
	// group that is made, deleted or made anew is incomplete for a moment; a
	// replica that failed to catch up is taken down and started again.
	groupsPatience = 10

	// metaGroup is the group of the cluster as a whole, in the server's own
	// account (defaultMetaGroupName in its jetstream_cluster.go).
	metaGroup     = "_meta_"
	systemAccount = "$SYS"
)

// groupClosed is how the server words a group's end (RaftState.String in its raft.go).
const groupClosed = "CLOSED"

// groups keeps an eye on the Raft groups of one node.
type groups struct {
	node    *Node
	wrong   map[string]int   // for how many looks something has been wrong, by what
	place   map[string]place // how far each group was at the last look
	meta    uint64           // term of the cluster's own leader, 0 before the first
	elected func()           // called for each further one
	rescuer *rescuer
}

// place is how far a group has come. What it has decided it must do in time.
type place struct {
	term, applied uint64
	leader        string
	stream        server.StreamState // of the stream, which fills while a replica catches up
}

func newGroups(n *Node, elected func()) *groups {
	if elected == nil {
		elected = func() {}
	}
	return &groups{
		node: n, wrong: map[string]int{}, place: map[string]place{}, elected: elected,
		rescuer: newRescuer(n),
	}
}

// look surveys the groups, and returns an error if one has been wrong for so
// long that only a restart can mend it.
func (g *groups) look() error {
	now, err := g.survey()
	if err != nil {
		return err
	}
	for what := range g.wrong {
		if !slices.Contains(now, what) {
			delete(g.wrong, what)
		}
	}
	for _, what := range now {
		if g.wrong[what]++; g.wrong[what] >= groupsPatience {
			return fmt.Errorf("%s, for %s", what, groupsPatience*groupsPoll)
		}
	}
	return nil
}

// survey tells what is wrong just now. An error is what does not pass.
func (g *groups) survey() (wrong []string, err error) {
	n := g.node
	detail, err := n.server.JszAccount(&server.JSzOptions{Account: account, Streams: true, Consumer: true, RaftGroups: true})
	if err != nil {
		return nil, nil // JetStream is on its way up, or down, which others look at
	}
	here := make(map[string]*server.StreamDetail, len(detail.Streams))
	for i := range detail.Streams {
		here[detail.Streams[i].Name] = &detail.Streams[i]
	}
	for _, s := range n.cfg.Streams {
		if here[s.Name] != nil && !n.hasDirectory(account, "streams", s.Name) {
			wrong = append(wrong, fmt.Sprintf("the directory of stream %s is gone", s.Name))
		}
		if !n.clustered() && n.unhealthy(s.Name, "", server.HealthzErrorStream) {
			wrong = append(wrong, fmt.Sprintf("stream %s no longer takes anything", s.Name))
		}
	}
	if !n.clustered() {
		return wrong, nil
	}
	running := n.raftGroups()
	places := make(map[string]place, len(running))
	check := func(name, group string, stream server.StreamState) {
		said, failed := g.check(name, group, running, stream, places)
		wrong = append(wrong, said...)
		err = errors.Join(err, failed)
	}
	check("the cluster", metaGroup, server.StreamState{})
	g.countMeta(running[metaGroup])
	for _, s := range n.cfg.Streams {
		if !n.server.JetStreamIsStreamAssigned(account, s.Name) {
			continue
		}
		d := here[s.Name]
		if d == nil {
			wrong = append(wrong, fmt.Sprintf("this node's replica of stream %s is not here", s.Name))
			continue
		}
		check("stream "+s.Name, d.RaftGroup, d.State)
		g.rescuer.look(s.Name, running[d.RaftGroup])
		if group := consumerGroup(d); group != "" {
			check("the consumer of stream "+s.Name, group, d.State)
		} else if n.unhealthy(s.Name, Consumer, server.HealthzErrorConsumer) {
			wrong = append(wrong, fmt.Sprintf("this node's replica of the consumer of stream %s is not here", s.Name))
		}
	}
	g.place = places
	return wrong, err
}

// check looks at one group.
func (g *groups) check(name, group string, running map[string]server.RaftzGroup, stream server.StreamState, places map[string]place) (wrong []string, err error) {
	if group == "" {
		return nil, nil // it is being made
	}
	r, ok := running[group]
	if r.WALError != nil {
		return nil, fmt.Errorf("the Raft group of %s can no longer write: %w", name, r.WALError)
	}
	if !ok || r.State == groupClosed {
		return []string{fmt.Sprintf("the Raft group of %s has stopped on this node", name)}, nil
	}
	if !g.node.hasDirectory(systemAccount, "_js_", group) {
		wrong = append(wrong, fmt.Sprintf("the directory of the Raft group of %s is gone", name))
	}
	if group == metaGroup && r.Observer { // what a failure to apply an entry makes of it
		wrong = append(wrong, "this node only watches what the cluster decides")
	}
	at := place{term: r.Term, applied: r.Applied, leader: r.Leader, stream: stream}
	if before, seen := g.place[group]; seen && r.Leader != "" && !r.Paused && r.Committed > r.Applied && at.equal(before) {
		wrong = append(wrong, fmt.Sprintf("this node's replica of %s does nothing of what is decided", name))
	}
	places[group] = at
	return wrong, nil
}

func (p place) equal(q place) bool {
	return p.term == q.term && p.applied == q.applied && p.leader == q.leader &&
		p.stream.LastSeq == q.stream.LastSeq && p.stream.FirstSeq == q.stream.FirstSeq && p.stream.Bytes == q.stream.Bytes
}

// countMeta counts the elections of the cluster's own leader, of which clients
// are told nothing.
func (g *groups) countMeta(meta server.RaftzGroup) {
	if meta.Leader == "" || meta.Term == g.meta {
		return
	}
	if g.meta != 0 {
		g.elected()
	}
	g.meta = meta.Term
}

// raftGroups are the groups that run here, by name.
func (n *Node) raftGroups() map[string]server.RaftzGroup {
	all := map[string]server.RaftzGroup{}
	for _, of := range []string{systemAccount, account} {
		found := n.server.Raftz(&server.RaftzOptions{AccountFilter: of})
		if found == nil {
			continue
		}
		for name, group := range (*found)[of] {
			all[name] = group
		}
	}
	return all
}

// consumerGroup is the group of our consumer, or "" if it is not here.
func consumerGroup(d *server.StreamDetail) string {
	for _, c := range d.ConsumerRaftGroups {
		if c.Name == Consumer {
			return c.RaftGroup
		}
	}
	return ""
}

// unhealthy tells whether the server has something to say against a stream or
// its consumer itself, rather than against the cluster. What it says depends on
// heartbeats, so it is asked only where there is nothing else to go by.
func (n *Node) unhealthy(stream, consumer string, kind server.HealthZErrorType) bool {
	h := n.server.Healthz(&server.HealthzOptions{Account: account, Stream: stream, Consumer: consumer, Details: true})
	return h.StatusCode != http.StatusNotFound &&
		slices.ContainsFunc(h.Errors, func(e server.HealthzError) bool { return e.Type == kind })
}

// hasDirectory tells whether something's directory in the server's own is
// there. Any other trouble with it than that will show elsewhere.
func (n *Node) hasDirectory(place ...string) bool {
	root := filepath.Join(n.cfg.DataDir(n.self.Name), server.JetStreamStoreDir)
	_, err := os.Stat(filepath.Join(append([]string{root}, place...)...))
	return !errors.Is(err, os.ErrNotExist)
}
