package status

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall/cluster"
	"landfall/message"
)

// stand is an overview of n1 of three nodes, whose surroundings a test makes.
type stand struct {
	*Overview
	t     *testing.T
	peers *Peers

	mu       sync.Mutex // guards the rest
	missing  []string
	server   message.Vitals
	postgres bool
	err      error
}

func newStand(t *testing.T) *stand {
	t.Helper()
	config := &cluster.Config{Name: "c", MessagesTable: "public.messages", Streams: []cluster.Stream{{Name: "S", Subjects: []string{"s.>"}, MaxBytes: 1 << 30, ReplayWindow: time.Hour}}}
	for _, name := range []string{"n1", "n2", "n3"} {
		config.Nodes = append(config.Nodes, cluster.Node{Name: name, HTTP: name + ".example:80"})
	}
	m, err := NewMetrics(MetricsOptions{Node: "n1", Version: "v1", Streams: []string{"S"}, Ready: func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, postgres: true, server: message.Vitals{MetaLeader: "n2", Memory: 1 << 20}}
	since := time.Now()
	s.Overview = NewOverview(OverviewOptions{
		Config: config, Node: "n1", Version: "v1", Metrics: m,
		Ready:    func() error { return nil },
		Postgres: func() (bool, time.Time, bool) { s.mu.Lock(); defer s.mu.Unlock(); return s.postgres, since, true },
		Missing:  func() ([]string, bool) { s.mu.Lock(); defer s.mu.Unlock(); return s.missing, true },
		Server: func() (message.Vitals, bool, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.server, s.err == nil, s.err
		},
	})
	if err := m.Collect(s.Overview); err != nil {
		t.Fatal(err)
	}
	s.peers = &Peers{o: PeersOptions{Node: "n1", Nodes: config.NodeNames()}, heard: map[string]Heard{}, news: make(chan struct{}, 1)}
	s.Join(s.peers)
	s.replica(message.Replica{Stream: "S", Held: true, Leader: "n2"})
	return s
}

func (s *stand) replica(r message.Replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server.Replicas = []message.Replica{r}
}

func (s *stand) set(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// tells has the node report.
func (s *stand) tells(r Report) {
	s.t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.peers.hear(data); err != nil {
		s.t.Fatal(err)
	}
}

// well has n2, which leads and stores, and n3 report that all is well.
func (s *stand) well(last, cursor uint64) {
	now := time.Now()
	stream := StreamReport{Name: "S", Held: true, Leads: true, Stores: true, Leader: "n2", First: 1, Last: last, Messages: last,
		Sink: &Sunk{State: SinkStoring, For: 10, Known: true, Cursor: cursor, Counts: &message.Counts{}}}
	s.tells(Report{Node: "n2", Version: "v1", Time: now, PostgresOK: true, PostgresFor: 100, MetaLeader: "n2", Streams: []StreamReport{stream}})
	s.tells(Report{Node: "n3", Version: "v1", Time: now, PostgresOK: true, PostgresFor: 100, Streams: []StreamReport{{Name: "S", Held: true, Leader: "n2", Last: last}}})
}

// at looks as the overview does by itself, four times a second.
func (s *stand) at(d time.Duration, each func()) *View {
	s.t.Helper()
	for end := time.Now().Add(d); ; <-time.After(lookEvery) {
		if each != nil {
			each()
		}
		s.look(time.Now())
		if !time.Now().Before(end) {
			break
		}
	}
	v, err := s.View()
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *stand) kinds(v *View) (kinds []Kind) {
	for _, e := range v.Events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestOverview(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		if _, err := s.View(); !errors.Is(err, ErrStale) {
			t.Errorf("before the first look: %v", err)
		}
		v := s.at(2*time.Second, func() { s.well(100, 100) })
		if v.Verdict.Text != "all stored" || *v.Acknowledged != 100 || *v.InFlight != 0 || v.Streams[0].Sink != "n2" || v.Streams[0].Leader != "n2" {
			t.Errorf("healthy: %+v, %+v", v.Verdict, v.Streams[0])
		}
		if n2 := v.Nodes[1]; n2.State != NodeUp || !slices.Equal(n2.Leads, []string{"the cluster", "S"}) || !slices.Equal(n2.Stores, []string{"S"}) {
			t.Errorf("n2: %+v", n2)
		}

		// n2 dies: its connection goes, its last report is still fresh.
		s.set(func() { s.missing = []string{"n2"} })
		n3 := func() {
			s.tells(Report{Node: "n3", Time: time.Now(), PostgresOK: true, Streams: []StreamReport{{Name: "S", Held: true, Last: 130}}})
		}
		v = s.at(lookEvery, n3)
		if v.Nodes[1].State != NodeDown || !strings.HasPrefix(v.Verdict.Text, "n2 has been down") {
			t.Errorf("n2 is gone: %+v, %+v", v.Nodes[1], v.Verdict)
		}
		if s := v.Streams[0]; s.Sink != "" || *s.Cursor != 100 || *s.Last != 130 || s.Sure || *s.InFlight != 30 {
			t.Errorf("what is remembered of the stream: %+v", s)
		}
		s.elected("S", ElectionStream, "n2")
		s.elected("S", ElectionStream, "n3")
		v = s.at(5*time.Second, n3)
		if !strings.Contains(v.Verdict.Problems[1].Text, "S has no leader") {
			t.Errorf("%+v", v.Verdict.Problems)
		}
		// n3 leads and stores.
		stores := func() {
			s.tells(Report{Node: "n3", Time: time.Now(), PostgresOK: true, Streams: []StreamReport{{Name: "S", Held: true, Leads: true, Stores: true, Last: 130, Sink: &Sunk{State: SinkStoring, Known: true, Cursor: 130}}}})
		}
		v = s.at(2*time.Second, stores)
		if sv := v.Streams[0]; sv.Sink != "n3" || *sv.InFlight != 0 || sv.DeadLetters == nil {
			t.Errorf("after the failover: %+v", sv)
		}
		// And n2 comes back: first its connection, later its reports.
		s.set(func() { s.missing = nil })
		v = s.at(lookEvery, stores)
		if n2 := v.Nodes[1]; n2.State != NodeUnready || n2.Reason != "starting" {
			t.Errorf("n2 is on its way: %+v", n2)
		}
		v = s.at(2*time.Second, func() { stores(); s.tells(Report{Node: "n2", Time: time.Now(), PostgresOK: true}) })
		if v.Nodes[1].State != NodeUp || v.Verdict.Level != Green {
			t.Errorf("n2 is back: %+v, %+v", v.Nodes[1], v.Verdict)
		}
		want := []Kind{NodeFound, SinkMoved, LeaderElected, LeaderElected, NodeLost, NodeStarted}
		if got := s.kinds(v); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		if e := v.Events[2]; e.Took == 0 || e.Node != "n3" {
			t.Errorf("the election after the loss: %+v", e)
		}
	})
}

// A node that hangs keeps its connection, and is missed by its reports.
func TestHangingNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.at(2*time.Second, func() { s.well(1, 1) })
		v := s.at(fresh+lookEvery, func() { s.tells(Report{Node: "n3", Time: time.Now(), PostgresOK: true}) })
		if v.Nodes[1].State != NodeDown || v.Nodes[2].State != NodeUp {
			t.Errorf("%+v", v.Nodes)
		}
		v = s.at(time.Second, func() { s.well(1, 1) })
		if v.Nodes[1].State != NodeUp {
			t.Errorf("it reports again: %+v", v.Nodes[1])
		}
	})
}

func TestStaleView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.at(time.Second, func() { s.well(1, 1) })
		s.set(func() { s.err = errors.New("no answer") })
		for range 20 {
			<-time.After(lookEvery)
			s.look(time.Now())
		}
		if v, err := s.View(); !errors.Is(err, ErrStale) {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestPostgresEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.at(time.Second, func() { s.well(1, 1) })
		away := func() {
			s.set(func() { s.postgres = false })
			for _, n := range []string{"n2", "n3"} {
				s.tells(Report{Node: n, Time: time.Now(), PostgresFor: 2})
			}
		}
		v := s.at(15*time.Second, away)
		if v.Postgres.State != "down" || v.Verdict.Level != Red {
			t.Errorf("%+v, %+v", v.Postgres, v.Verdict)
		}
		s.set(func() { s.postgres = true })
		// One node has noticed, the others have not yet: that is no news.
		v = s.at(2*time.Second, func() { s.tells(Report{Node: "n2", Time: time.Now()}); s.tells(Report{Node: "n3", Time: time.Now()}) })
		if v.Postgres.State != "partly" || strings.Contains(v.Verdict.Text, "reach") {
			t.Errorf("%+v, %+v", v.Postgres, v.Verdict)
		}
		v = s.at(time.Second, func() { s.well(1, 1) })
		if e := v.Events[0]; e.Kind != PostgresFound || e.Took < 14 || e.Took > 17 {
			t.Errorf("%+v", v.Events)
		}
	})
}

// The sinks' events go to all nodes, in the time of whoever reads them.
func TestEventsTravel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, from := newStand(t), newStand(t)
		sink := from.Sink("S")
		sink.Active(message.Cursor{Seq: 1})
		sink.Failed(errors.New("away\x1b[31m\nfor now"))
		<-time.After(3 * time.Second)
		sink.Fine()
		for range 5 {
			sink.Committed(&message.Batch{Messages: make([]message.Message, 2)}, message.Outcome{Rows: 1, DeadLetters: 1, Careful: true}, time.Second)
		}
		hour := time.Hour // by which the other's clock is wrong
		s.at(time.Second, func() {
			events := from.diary.tell()
			for i := range events {
				events[i].Time = events[i].Time.Add(hour)
			}
			s.tells(Report{Node: "n2", Time: time.Now().Add(hour), Events: events})
		})
		v := s.at(0, nil)
		if got, want := s.kinds(v), []Kind{DeadLettered, CarefulPath, SinkStores, SinkFailing, NodeStarted, NodeStarted}; !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if e := v.Events[0]; e.Count != 5 || time.Since(e.Time).Abs() > 2*time.Second {
			t.Errorf("%+v", e)
		}
		if e := v.Events[2]; e.Took != 3 {
			t.Errorf("%+v", e)
		}
		if e := v.Events[3]; e.Text != "not storing: away[31m for now" {
			t.Errorf("%q", e.Text)
		}
	})
}

func TestSinkTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t).Sink("S")
		state := func() SinkState { return s.sunk(time.Now(), 100).State }
		if got := state(); got != SinkStarting {
			t.Errorf("at first: %s", got)
		}
		s.Active(message.Cursor{Seq: 10})
		if got := s.sunk(time.Now(), 100); got.State != SinkStoring || got.Cursor != 10 || !got.Known {
			t.Errorf("%+v", got)
		}
		s.Counted(message.Counts{DeadLetters: 2})
		s.Committed(&message.Batch{Messages: make([]message.Message, 5)}, message.Outcome{Cursor: message.Cursor{Seq: 15}, Rows: 3, DeadLetters: 1, Duplicates: 1}, 3*time.Millisecond)
		s.Gap(16, 18)
		if got := s.sunk(time.Now(), 100); got.Cursor != 15 || got.Counts.DeadLetters != 3 || got.Counts.Duplicates != 1 || got.Counts.Gaps != 3 || got.CommitP99 != .003 {
			t.Errorf("%+v, %+v", got, got.Counts)
		}
		s.Paused(&message.SetupError{Reason: "no column", Advice: "add it", Err: errors.New("42703")})
		s.Active(message.Cursor{Seq: 15}) // the next try begins
		if got := s.sunk(time.Now(), 100); got.State != SinkIsPaused || got.Reason != "no column: 42703" || got.Advice != "add it" {
			t.Errorf("%+v", got)
		}
		s.Failed(errors.New("away"))
		if got := state(); got != SinkOutage {
			t.Errorf("away: %s", got)
		}
		s.Fine()
		<-time.After(20 * time.Second)
		if got := s.sunk(time.Now(), 100); got.State != SinkStoring || got.Still != 20 || got.CommitP99 != 0 {
			t.Errorf("%+v", got)
		}
		if got := s.sunk(time.Now(), 15); got.Still != 0 {
			t.Errorf("nothing is there to store, and it is still for %v", got.Still)
		}
		s.Passive()
		if got := state(); got != SinkStarting {
			t.Errorf("another node stores: %s", got)
		}
	})
}

// A commit is heard of at once, a report is up to a second old.
func TestCommitsAreHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		heard := newTrack()
		s.Follow(&Receipts{tracks: map[string]*track{"S": heard}})
		cursor := func(want uint64, what string) {
			t.Helper()
			if v := s.at(lookEvery, nil); *v.Streams[0].Cursor != want {
				t.Errorf("%s: cursor %d, want %d", what, *v.Streams[0].Cursor, want)
			}
		}
		s.at(time.Second, func() { s.well(100, 50) })
		<-time.After(time.Millisecond)
		heard.hear(announcement{Stream: "S", Incarnation: "", From: 51, To: 80})
		<-time.After(time.Second)
		cursor(80, "a commit")
		heard.hear(announcement{Stream: "S", Incarnation: "another", From: 1, To: 5})
		<-time.After(time.Second)
		cursor(50, "a commit of another incarnation")
		heard.hear(announcement{Stream: "S", Incarnation: "", From: 81, To: 85})
		<-time.After(time.Millisecond)
		s.well(100, 40) // Postgres was restored
		<-time.After(time.Second)
		cursor(40, "a report since")
	})
}
