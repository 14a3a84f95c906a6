package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
