package status

import (
	"time"

	"landfall/cluster"
	"landfall/message"
)

// facts are what a view is made of, at one moment.
type facts struct {
	now     time.Time
	since   time.Time // since when this node has looked
	own     *Report
	renewed time.Time        // when own was
	heard   map[string]Heard // of the others, also old ones
	ups     map[string]presence
	known   map[string]*remembered // of each stream
}

// presence is whether a node is there, and since when that has been so.
type presence struct {
	up    bool
	since time.Time
	seen  bool // ever, by this process
}

// remembered is what was last told of a stream, by whoever knew.
type remembered struct {
	cursor   uint64
	cursorAt time.Time // zero: never
	counts   *message.Counts
	trend    trend
}

// told is when a node's report came.
func (f *facts) told(node string) time.Time {
	if h, ok := f.heard[node]; ok {
		return h.Arrived
	}
	return f.renewed
}

// reports are those to be believed now, this node's own first.
func (f *facts) reports(nodes []string) []*Report {
	var all []*Report
	if f.own != nil {
		all = append(all, f.own)
	}
	for _, name := range nodes {
		if h, ok := f.heard[name]; ok && f.ups[name].up && !h.Arrived.Before(f.ups[name].since) && h.Fresh() {
			all = append(all, &h.Report)
		}
	}
	return all
}

// compose makes the view but for verdict and events.
func compose(config *cluster.Config, self string, f *facts) *View {
	v := &View{Cluster: config.Name, Node: self, Time: f.now.UTC()}
	reports := f.reports(config.NodeNames())
	v.Postgres = postgresView(reports)
	for _, n := range config.Nodes {
		v.Nodes = append(v.Nodes, nodeView(n, self, f))
	}
	acknowledged, stored, inFlight, sure := uint64(0), uint64(0), uint64(0), true
	for _, s := range config.Streams {
		sv := streamView(config, s, reports, f)
		v.Streams = append(v.Streams, sv)
		if sv.InFlight == nil {
			sure = false
			continue
		}
		acknowledged += *sv.Last
		stored += *sv.Last - *sv.InFlight
		inFlight += *sv.InFlight
	}
	if sure {
		v.Acknowledged, v.Stored, v.InFlight = &acknowledged, &stored, &inFlight
	}
	return v
}

func postgresView(reports []*Report) PostgresView {
	v := PostgresView{State: "unknown", Reached: []string{}, Missed: []string{}}
	down, up := 0.0, 0.0
	for _, r := range reports {
		if r.PostgresUnknown {
			continue
		}
		if r.PostgresOK {
			v.Reached = append(v.Reached, r.Node)
			up = max(up, r.PostgresFor)
			continue
		}
		v.Missed = append(v.Missed, r.Node)
		if down == 0 || r.PostgresFor < down {
			down = r.PostgresFor // until then somebody reached it, or was not up
		}
	}
	switch {
	case len(v.Reached) > 0 && len(v.Missed) == 0:
		v.State, v.For = "up", up
	case len(v.Reached) > 0:
		v.State, v.For = "partly", down
	case len(v.Missed) > 0:
		v.State, v.For = "down", down
	}
	return v
}

func nodeView(n cluster.Node, self string, f *facts) NodeView {
	v := NodeView{Name: n.Name, Page: "http://" + n.Status() + "/", Leads: []string{}, Stores: []string{}, Itself: n.Name == self}
	there := f.ups[n.Name]
	var r *Report
	if v.Itself {
		r, there = f.own, presence{up: true, since: f.since, seen: true}
	} else if h, ok := f.heard[n.Name]; ok && !h.Arrived.Before(there.since) {
		r = &h.Report // else it is of the process before
	}
	v.For = f.now.Sub(there.since).Seconds()
	switch {
	case !there.seen:
		v.State = NodeUnseen
		return v
	case !there.up:
		v.State = NodeDown
	case r == nil:
		v.State, v.Reason = NodeUnready, "starting"
		return v
	case r.Unready != "":
		v.State, v.Reason = NodeUnready, r.Unready
	default:
		v.State = NodeUp
	}
	if r == nil {
		return v
	}
	v.Version, v.Elections = r.Version, r.Elections
	if v.State == NodeDown {
		return v
	}
	v.Uptime, v.Memory, v.Store, v.FsyncP99 = r.Uptime, r.Memory, r.Store, r.FsyncP99
	if !r.PostgresUnknown {
		v.Postgres = &r.PostgresOK
	}
	if r.MetaLeader == n.Name && len(f.ups) > 0 {
		v.Leads = append(v.Leads, "the cluster")
	}
	for _, s := range r.Streams {
		if s.Leads {
			v.Leads = append(v.Leads, s.Name)
		}
		if s.Stores {
			v.Stores = append(v.Stores, s.Name)
		}
	}
	return v
}

func streamView(config *cluster.Config, s cluster.Stream, reports []*Report, f *facts) StreamView {
	v := StreamView{
		Name: s.Name, Subjects: s.Subjects, Table: config.MessagesTable, MaxBytes: s.MaxBytes,
		ReplayWindow: s.ReplayWindow.Seconds(), State: "nobody",
	}
	if s.Table != nil {
		v.Table = s.Table.String()
	}
	best := bestReplica(reports, s.Name)
	if best == nil {
		v.State = "missing"
	} else {
		v.First, v.Bytes, v.Messages, v.Window = best.First, best.Bytes, best.Messages, best.Window
		last := lastOf(reports, s.Name)
		v.Last, v.Sure = &last, best.Leads
	}
	k := f.known[s.Name]
	if node, r := storing(reports, s.Name); r != nil {
		v.Sink, v.State, v.For = node, string(r.Sink.State), r.Sink.For
		v.Reason, v.Advice, v.CommitP99, v.Still = r.Sink.Reason, r.Sink.Advice, r.Sink.CommitP99, r.Sink.Still
	}
	for _, r := range reports {
		if t := r.stream(s.Name); t != nil && t.Leads {
			v.Leader = r.Node
		}
	}
	if k == nil {
		return v
	}
	if c := k.counts; c != nil {
		v.DeadLetters, v.Duplicates, v.Gaps, v.LastGap = &c.DeadLetters, &c.Duplicates, &c.Gaps, c.LastGap
	}
	if rate, ok := k.trend.publishRate(); ok {
		v.PublishRate = &rate
	}
	if rate, ok := k.trend.storeRate(); ok {
		v.StoreRate = &rate
	}
	switch {
	case !k.cursorAt.IsZero():
		cursor := k.cursor
		v.Cursor, v.CursorAge = &cursor, f.now.Sub(k.cursorAt).Seconds()
	case v.Last != nil && *v.Last == 0:
		v.Cursor = new(uint64) // there is nothing that could be stored
	}
	if v.Cursor == nil || v.Last == nil {
		return v
	}
	if v.CursorAge == 0 && *v.Cursor > *v.Last { // who stores has told later than who leads
		*v.Last = *v.Cursor
	}
	flight := *v.Last - min(*v.Cursor, *v.Last)
	lag := 0.0
	if flight > 0 {
		lag = k.trend.lag(*v.Cursor, f.now).Seconds()
	} else {
		v.Still = 0
	}
	v.InFlight, v.Lag = &flight, &lag
	return v
}

// bestReplica is what is known best of a stream: its leader's word, or that of
// the replica that has most.
func bestReplica(reports []*Report, name string) *StreamReport {
	var best *StreamReport
	for _, r := range reports {
		t := r.stream(name)
		if t == nil || !t.Held {
			continue
		}
		if best == nil || t.Leads && !best.Leads || t.Leads == best.Leads && t.Last > best.Last {
			best = t
		}
	}
	return best
}

// lastOf is the highest sequence that a replica has: a replica here may be
// ahead of what the leader told almost a second ago.
func lastOf(reports []*Report, name string) (last uint64) {
	for _, r := range reports {
		if t := r.stream(name); t != nil && t.Held {
			last = max(last, t.Last)
		}
	}
	return last
}

// storing is the node that stores a stream. Where two say so, one has not
// noticed yet that it no longer does: the other knows more.
func storing(reports []*Report, name string) (node string, found *StreamReport) {
	for _, r := range reports {
		t := r.stream(name)
		if t == nil || !t.Stores || t.Sink == nil {
			continue
		}
		if found == nil || t.Sink.Cursor > found.Sink.Cursor {
			node, found = r.Node, t
		}
	}
	return node, found
}
