package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"landfall/cluster"
	"landfall/message"
)

const (
	// lookEvery is how often it is looked who is there: a page is to show
	// within two seconds that a node has died.
	lookEvery = 250 * time.Millisecond

	// stale is how old a view may become. It is made anew each second, unless
	// the embedded server does not answer its own process.
	stale = 3 * time.Second
)

// ErrStale is instead of a view that is too old to be shown.
var ErrStale = errors.New("this node's own server does not answer it: what its state is, and the others', is not known here")

// OverviewOptions are what an Overview needs to know. Its functions are quick
// and ask nobody outside the process.
type OverviewOptions struct {
	Config  *cluster.Config
	Node    string // this node
	Version string // of this program
	Metrics *Metrics

	// Ready tells why this node cannot acknowledge, or nil.
	Ready func() error

	// Postgres tells whether this node reaches Postgres, and since when that
	// has been so; known is false until it was tried.
	Postgres func() (ok bool, since time.Time, known bool)

	// Missing are the nodes without a connection to this one, and Server is how
	// the embedded server does; ok is false while there is none.
	Missing func() (nodes []string, ok bool)
	Server  func() (s message.Vitals, ok bool, err error)

	Log *slog.Logger
}

// Overview knows what this node does, hears what the others do, and says how
// the cluster is doing. It works from the first moment of a process to its
// last.
type Overview struct {
	o        OverviewOptions
	started  time.Time
	diary    *diary
	sinks    map[string]*Sink // by stream; the map never changes
	peers    atomic.Pointer[Peers]
	receipts atomic.Pointer[Receipts] // which hear of commits at once
	news     chan struct{}            // something happened that cannot wait for the next second

	elections atomic.Uint64
	server    atomic.Pointer[message.Vitals] // as last asked; nil: there is none

	// Of the goroutine that looks.
	ups      map[string]presence
	linked   map[string]time.Time // since when there is a route
	known    map[string]*remembered
	lasting  *lasting
	sink     map[string]string // node that stored a stream when that was last known
	sinkSeen map[string]time.Time
	pgState  string
	pgSince  time.Time
	leaders  leaders
	renewed  time.Time
	trended  time.Time

	mu       sync.Mutex // guards what follows
	report   *Report
	view     *View
	looked   time.Time
	told     map[string]Event // of the other nodes, by id
	watchers map[chan struct{}]bool
}

// leaders are the streams' leaders and when nodes were lost, for the time that
// an election took.
type leaders struct {
	mu   sync.Mutex
	of   map[string]string
	lost map[string]time.Time
}

// NewOverview makes one that knows nothing yet.
func NewOverview(o OverviewOptions) *Overview {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	v := &Overview{
		o: o, started: now, diary: newDiary(o.Node, now), sinks: map[string]*Sink{}, news: make(chan struct{}, 1),
		ups: map[string]presence{}, linked: map[string]time.Time{}, known: map[string]*remembered{}, lasting: newLasting(),
		sink: map[string]string{}, sinkSeen: map[string]time.Time{},
		leaders: leaders{of: map[string]string{}, lost: map[string]time.Time{}},
		told:    map[string]Event{}, watchers: map[chan struct{}]bool{},
	}
	for _, s := range o.Config.Streams {
		v.sinks[s.Name] = newSink(s.Name, o.Node, v.diary, o.Metrics, v.tell)
		v.known[s.Name] = &remembered{}
	}
	for _, n := range o.Config.Nodes {
		if n.Name != o.Node {
			v.ups[n.Name] = presence{since: now}
		}
	}
	v.diary.note(Event{Kind: NodeStarted, Node: o.Node, Text: fmt.Sprintf("%s started, version %s", o.Node, o.Version), told: true})
	return v
}

// Sink observes the stream's sink on this node.
func (v *Overview) Sink(stream string) *Sink { return v.sinks[stream] }

// Join has it hear the other nodes.
func (v *Overview) Join(p *Peers) { v.peers.Store(p) }

// Follow has it hear of commits at once, rather than once a second.
func (v *Overview) Follow(r *Receipts) { v.receipts.Store(r) }

// tell has the other nodes told at once.
func (v *Overview) tell() {
	select {
	case v.news <- struct{}{}:
	default:
	}
}

// Run looks at the cluster until the context ends; then it returns nil.
func (v *Overview) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		v.look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-v.news:
			v.renewed = time.Time{}
		}
	}
}

// look sees who is there, and once a second, or if that has changed, makes the
// view anew.
func (v *Overview) look(now time.Time) {
	changed := v.presences(now)
	if now.Sub(v.renewed) >= time.Second-lookEvery/2 {
		if err := v.renew(now); err != nil {
			v.o.Log.Debug("the embedded server does not say how it does", "error", err)
			return // and the view becomes stale
		}
		if p := v.peers.Load(); p != nil {
			p.Tell()
		}
		changed = true
	}
	if changed {
		v.compose(now)
	}
}

// others are the other nodes' latest reports.
func (v *Overview) others() map[string]Heard {
	heard := map[string]Heard{}
	if p := v.peers.Load(); p != nil {
		for _, h := range p.Others() {
			heard[h.Node] = h
		}
	}
	return heard
}

// presences sees which of the others are there, and tells whether that has
// changed. A node that has died is missed by its connection, one that hangs by
// its reports.
func (v *Overview) presences(now time.Time) (changed bool) {
	missing, ok := v.o.Missing()
	if !ok {
		return false
	}
	heard := v.others()
	for _, name := range v.o.Config.NodeNames() {
		if name == v.o.Node {
			continue
		}
		was := v.ups[name]
		if slices.Contains(missing, name) {
			delete(v.linked, name)
		} else if _, ok := v.linked[name]; !ok {
			v.linked[name] = now
		}
		h, told := heard[name]
		since, linked := v.linked[name]
		up := linked && (!told || h.Fresh() || since.After(h.Arrived))
		if up == was.up {
			continue
		}
		changed = true
		at := now
		if up && told && h.Fresh() && h.Arrived.Before(now) && h.Arrived.After(was.since) {
			at = h.Arrived
		}
		v.ups[name] = presence{up: up, since: at, seen: true}
		switch {
		case !up:
			v.lost(name, now)
			v.diary.note(Event{Time: now, Kind: NodeLost, Node: name, Text: name + " is gone"})
			v.o.Log.Warn("another node is gone", "other", name)
		case was.seen:
			v.diary.note(Event{Time: now, Kind: NodeFound, Node: name, Text: name + " is back", Took: now.Sub(was.since).Seconds()})
			v.o.Log.Info("another node is back", "other", name, "after", now.Sub(was.since).Round(time.Millisecond))
		}
	}
	return changed
}

func (v *Overview) lost(node string, now time.Time) {
	v.leaders.mu.Lock()
	defer v.leaders.mu.Unlock()
	v.leaders.lost[node] = now
}

// renew brings this node's own report up to date.
func (v *Overview) renew(now time.Time) error {
	server, ok, err := v.o.Server()
	if err != nil {
		return err
	}
	r := &Report{
		Node: v.o.Node, Version: v.o.Version, Time: now.UTC(), Uptime: now.Sub(v.started).Seconds(),
		Elections: v.elections.Load(), Events: v.diary.tell(), Streams: []StreamReport{},
	}
	if err := v.o.Ready(); err != nil {
		r.Unready = oneLine(err.Error())
	}
	reached, since, known := v.o.Postgres()
	r.PostgresOK, r.PostgresFor, r.PostgresUnknown = reached, now.Sub(since).Seconds(), !known
	if ok {
		r.MetaLeader, r.Missing, r.Memory, r.Store, r.FsyncP99 = server.MetaLeader, server.Missing, server.Memory, server.Store, server.FsyncP99.Seconds()
		for _, m := range server.Replicas {
			r.Streams = append(r.Streams, v.streamReport(m, now))
		}
		v.server.Store(&server)
	} else {
		v.server.Store(nil)
	}
	v.renewed = now
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report = r
	return nil
}

func (v *Overview) streamReport(m message.Replica, now time.Time) StreamReport {
	t := StreamReport{
		Name: m.Stream, Held: m.Held, Leads: m.Leads, Stores: m.Stores, Leader: m.Leader,
		First: m.First, Last: m.Last, Messages: m.Messages, Bytes: m.Bytes,
	}
	if m.Messages > 0 && !m.FirstTime.IsZero() {
		t.Window = max(0, now.Sub(m.FirstTime).Seconds())
	}
	if s := v.sinks[m.Stream]; m.Stores && s != nil {
		t.Sink = s.sunk(now, m.Last)
	}
	return t
}

// Report is what the others are told.
func (v *Overview) Report() Report {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.report == nil {
		return Report{Node: v.o.Node, Version: v.o.Version, Time: time.Now().UTC(), PostgresUnknown: true, Unready: "starting"}
	}
	return *v.report
}

// compose makes the view anew, and notes what has changed.
func (v *Overview) compose(now time.Time) {
	heard := v.others()
	own := v.Report()
	f := &facts{now: now, since: v.started, own: &own, renewed: v.renewed, heard: heard, ups: v.ups, known: v.known}
	reports := f.reports(v.o.Config.NodeNames())
	v.remember(f, reports)
	view := compose(v.o.Config, v.o.Node, f)
	if now.Sub(v.trended) >= trendEvery-lookEvery/2 {
		v.trended = now
		v.trend(view, now)
	}
	v.lasting.look(now)
	judge(view, v.lasting)
	v.changes(view, now)

	v.mu.Lock()
	defer v.mu.Unlock()
	v.hearEvents(heard)
	view.Events = v.events()
	v.view, v.looked = view, now
	for w := range v.watchers {
		select {
		case w <- struct{}{}:
		default: // it has not come to look at the one before
		}
	}
}

// remember keeps what is known of the streams from those who store them.
func (v *Overview) remember(f *facts, reports []*Report) {
	for name, k := range v.known {
		if node, r := storing(reports, name); r != nil {
			if r.Sink.Known {
				k.cursor, k.cursorAt = v.newer(name, r.Sink, f.told(node)), f.now
			}
			if r.Sink.Counts != nil {
				k.counts = r.Sink.Counts
			}
		}
	}
}

// newer is the cursor as a sink told it at a time, or as a commit told it since.
func (v *Overview) newer(stream string, s *Sunk, told time.Time) uint64 {
	if r := v.receipts.Load(); r != nil {
		if t, err := r.track(stream); err == nil {
			if incarnation, cursor, heard := t.last(); incarnation == s.Incarnation && heard.After(told) {
				return cursor
			}
		}
	}
	return s.Cursor
}

func (v *Overview) trend(view *View, now time.Time) {
	v.mu.Lock() // for those who draw it
	defer v.mu.Unlock()
	for i := range view.Streams {
		s := &view.Streams[i]
		if s.Last == nil {
			continue
		}
		p := point{at: now, last: *s.Last, lastSure: s.Sure, commitP99: s.CommitP99}
		if s.Cursor != nil {
			p.cursor, p.known = *s.Cursor, s.CursorAge < stale.Seconds()
		}
		v.known[s.Name].trend.add(p)
	}
}

// changes notes what is different from the view before.
func (v *Overview) changes(view *View, now time.Time) {
	for _, s := range view.Streams {
		if s.Sink == "" {
			continue
		}
		if before := v.sink[s.Name]; before != "" && before != s.Sink {
			v.diary.note(Event{Time: now, Kind: SinkMoved, Node: s.Sink, Stream: s.Name, Took: now.Sub(v.sinkSeen[s.Name]).Seconds(),
				Text: fmt.Sprintf("%s stores %s, before it %s did", s.Sink, s.Name, before)})
		}
		v.sink[s.Name], v.sinkSeen[s.Name] = s.Sink, now
	}
	state := view.Postgres.State
	if state == "partly" {
		state = "up"
	}
	if state == "unknown" || state == v.pgState {
		return
	}
	switch {
	case state == "down":
		v.pgSince = now
		v.diary.note(Event{Time: now, Kind: PostgresLost, Text: "Postgres cannot be reached"})
	case v.pgState == "down":
		v.diary.note(Event{Time: now, Kind: PostgresFound, Text: "Postgres is reached again", Took: now.Sub(v.pgSince).Seconds()})
	}
	v.pgState = state
}

// hearEvents takes in what the others tell, by this node's clock.
func (v *Overview) hearEvents(heard map[string]Heard) {
	for _, h := range heard {
		ahead := h.Time.Sub(h.Arrived)
		if ahead.Abs() < time.Second {
			ahead = 0
		}
		for _, e := range h.Events {
			e.Time = e.Time.Add(-ahead)
			if old, ok := v.told[e.ID]; ok && old.Count == e.Count {
				continue // as it is, rather than moved by how long a report took
			}
			e.Text = oneLine(e.Text)
			v.told[e.ID] = e
		}
	}
	if len(v.told) > 2*eventsKept {
		all := slices.SortedFunc(maps.Values(v.told), latestFirst)
		for _, e := range all[eventsKept:] {
			delete(v.told, e.ID)
		}
	}
}

// events are the latest, the latest first.
func (v *Overview) events() []Event {
	all := append(v.diary.all(), slices.Collect(maps.Values(v.told))...)
	slices.SortStableFunc(all, latestFirst)
	return all[:min(len(all), eventsKept)]
}

func latestFirst(a, b Event) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.ID, a.ID)) }

// View is what is known now. It is not to be changed. The error is ErrStale.
func (v *Overview) View() (*View, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.view == nil || time.Since(v.looked) > stale {
		return nil, ErrStale
	}
	return v.view, nil
}

// watch returns a channel that is sent to whenever there is a new view.
func (v *Overview) watch() (changed <-chan struct{}, quit func()) {
	w := make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watchers[w] = true
	return w, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.watchers, w)
	}
}

// history is where each stream has stood lately.
func (v *Overview) history() [][]point {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([][]point, 0, len(v.o.Config.Streams))
	for _, s := range v.o.Config.Streams {
		all = append(all, slices.Clone(v.known[s.Name].trend.points))
	}
	return all
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
