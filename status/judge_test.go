package status

import (
	"strings"
	"testing"
	"time"
)

// aView is that of a cluster in which all is well, changed by a test.
func aView(change func(v *View)) *View {
	n := func(n uint64) *uint64 { return &n }
	f := func(f float64) *float64 { return &f }
	i := func(i int64) *int64 { return &i }
	v := &View{
		Cluster: "c", Node: "n1", Time: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), InFlight: n(0),
		Postgres: PostgresView{State: "up", For: 1000, Reached: []string{"n1", "n2", "n3"}},
		Nodes:    []NodeView{{Name: "n1", State: NodeUp, Itself: true}, {Name: "n2", State: NodeUp}, {Name: "n3", State: NodeUp}},
		Streams: []StreamView{{
			Name: "S", Leader: "n1", Sink: "n2", State: string(SinkStoring), For: 500, Sure: true, Last: n(1000), Cursor: n(1000), InFlight: n(0), Lag: f(0),
			Messages: 1000, Bytes: 1 << 20, MaxBytes: 1 << 30, PublishRate: f(0), StoreRate: f(0), DeadLetters: i(0), Duplicates: i(0), Gaps: i(0),
		}},
	}
	change(v)
	return v
}

// behind has the stream hold what is not stored.
func behind(v *View, messages uint64, lag float64) {
	s := &v.Streams[0]
	*s.Last += messages
	*s.InFlight, *s.Lag, *v.InFlight = messages, lag, messages
}

func down(v *View, forSeconds float64, nodes ...string) {
	for i := range v.Nodes {
		for _, name := range nodes {
			if v.Nodes[i].Name == name {
				v.Nodes[i].State, v.Nodes[i].For = NodeDown, forSeconds
			}
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	lost := func(seconds float64) func(v *View) {
		return func(v *View) {
			v.Postgres = PostgresView{State: "down", For: seconds, Missed: []string{"n1", "n2", "n3"}}
			v.Streams[0].State, v.Streams[0].For, v.Streams[0].Reason = string(SinkOutage), seconds, "refused"
			behind(v, 100, seconds)
		}
	}
	for name, tt := range map[string]struct {
		change func(v *View)
		lasts  time.Duration // for how long it has been so
		level  Level
		text   string
		person bool
	}{
		"all is stored":          {func(*View) {}, 0, Green, "all stored", false},
		"on their way":           {func(v *View) { behind(v, 1200, .5) }, 0, Green, "storing: 1,200 in flight", false},
		"catching up":            {func(v *View) { behind(v, 12400, 3) }, 0, Amber, "catching up: 12,400 behind, 3s", false},
		"nothing is known yet":   {func(v *View) { v.InFlight = nil; v.Streams[0].InFlight = nil }, 0, Amber, "finding out what is stored", false},
		"Postgres restarts":      {lost(1), 0, Green, "storing: 100 in flight", false},
		"Postgres away":          {lost(5), 0, Amber, "Postgres unreachable for 5s: messages are kept, room for 1023 MiB more", false},
		"Postgres away for long": {lost(40), 0, Red, "Postgres unreachable for 40s: messages are kept, room for 1023 MiB more", true},
		"with traffic": {func(v *View) { lost(40)(v); *v.Streams[0].PublishRate = 1000 }, 0, Red,
			"Postgres unreachable for 40s: messages are kept, room for 17m 3s more", true},
		"Postgres is back": {func(v *View) {
			lost(80)(v)
			v.Postgres = PostgresView{State: "up", For: 1, Reached: []string{"n1", "n2", "n3"}}
		}, 0, Amber,
			"catching up: 100 behind, 1m 20s", false},
		"it is back, and the sink is not": {func(v *View) {
			lost(80)(v)
			v.Postgres = PostgresView{State: "up", For: 6, Reached: []string{"n1", "n2", "n3"}}
		}, 0, Amber,
			"S is not stored, for 6s: refused", false},
		"not from everywhere": {func(v *View) {
			v.Postgres = PostgresView{State: "partly", For: 20, Reached: []string{"n1", "n3"}, Missed: []string{"n2"}}
		}, 30 * time.Second, Amber, "n2 does not reach Postgres, for 30s; n1 and n3 do", false},
		"a node down":             {func(v *View) { down(v, 12, "n3") }, 0, Amber, "n3 has been down for 12s", true},
		"two nodes down":          {func(v *View) { down(v, 12, "n2", "n3") }, 12 * time.Second, Red, "n2 and n3 do not answer, for 12s: nothing can be acknowledged until a majority does", true},
		"the first of three":      {func(v *View) { v.Nodes[1].State, v.Nodes[2].State = NodeUnseen, NodeUnseen }, 0, Amber, "waiting for n2 and n3", false},
		"and they do not come":    {func(v *View) { v.Nodes[1].State, v.Nodes[2].State = NodeUnseen, NodeUnseen }, 2 * time.Minute, Red, "waiting for n2 and n3, for 2m", true},
		"one never came":          {func(v *View) { v.Nodes[2].State = NodeUnseen }, 0, Amber, "waiting for n3", false},
		"one never came for long": {func(v *View) { v.Nodes[2].State = NodeUnseen }, time.Hour, Amber, "waiting for n3, for 1h", true},
		"a node is not ready":     {func(v *View) { v.Nodes[1].State, v.Nodes[1].Reason = NodeUnready, "catching up" }, 0, Amber, "n2 is not ready: catching up", false},
		"and stays so":            {func(v *View) { v.Nodes[1].State, v.Nodes[1].Reason = NodeUnready, "catching up" }, time.Minute, Red, "n2 is not ready: catching up, for 1m", true},
		"dead letters":            {func(v *View) { *v.Streams[0].DeadLetters = 3 }, 0, Amber, "3 dead letters", true},
		"paused": {func(v *View) {
			s := &v.Streams[0]
			s.State, s.Reason = string(SinkIsPaused), "column region does not exist"
		}, 0, Red, "S is paused: column region does not exist", true},
		"full":                   {func(v *View) { v.Streams[0].Bytes = 1 << 30 }, 0, Red, "S is full: new messages are refused", true},
		"nearly full":            {func(v *View) { v.Streams[0].Bytes = 1 << 30 / 100 * 93 }, 0, Amber, "S is 93 % full", true},
		"no leader for a moment": {func(v *View) { v.Streams[0].Leader = "" }, time.Second, Green, "all stored", false},
		"no leader":              {func(v *View) { v.Streams[0].Leader = "" }, 5 * time.Second, Amber, "S has no leader: messages are held until it has", false},
		"no leader for long":     {func(v *View) { v.Streams[0].Leader = "" }, time.Minute, Red, "S has no leader: messages are held until it has, for 1m", true},
		"nobody stores":          {func(v *View) { v.Streams[0].Sink, v.Streams[0].State = "", "nobody" }, time.Minute, Red, "nobody stores S, for 1m", true},
		"a stream is missing":    {func(v *View) { v.Streams[0].State = "missing" }, 0, Amber, "stream S is not there", false},
		"it fails":               {func(v *View) { s := &v.Streams[0]; s.State, s.For, s.Reason = string(SinkOutage), 12, "deadlock" }, 0, Amber, "S is not stored, for 12s: deadlock", false},
		"it fails after moving": {func(v *View) {
			s := &v.Streams[0]
			s.State, s.For, s.Reason = string(SinkOutage), 2, "deadlock"
			behind(v, 5, 80)
		}, 0, Red, "S is not stored, for 1m 20s: deadlock", true},
		"nothing moves":           {func(v *View) { behind(v, 50, 30); v.Streams[0].Still = 30 }, 0, Amber, "S: nothing was stored for 30s, 50 behind", false},
		"nothing moves for long":  {func(v *View) { behind(v, 50, 90); v.Streams[0].Still = 90 }, 0, Red, "S: nothing was stored for 1m 30s, 50 behind", true},
		"a gap":                   {func(v *View) { *v.Streams[0].Gaps = 2; v.Streams[0].LastGap = v.Time.Add(-time.Hour) }, 0, Red, "S has lost messages: a gap was recorded at 11:00 UTC", true},
		"an old gap":              {func(v *View) { *v.Streams[0].Gaps = 2; v.Streams[0].LastGap = v.Time.Add(-48 * time.Hour) }, 0, Green, "all stored", false},
		"the worst is said first": {func(v *View) { *v.Streams[0].DeadLetters = 3; v.Streams[0].Bytes = 1 << 30 }, 0, Red, "S is full: new messages are refused", true},
	} {
		l, now := newLasting(), time.Now()
		v := aView(tt.change)
		l.look(now)
		judge(v, l)
		v = aView(tt.change)
		l.look(now.Add(tt.lasts))
		judge(v, l)
		got := v.Verdict
		if got.Level != tt.level || got.Text != tt.text || got.NeedsPerson != tt.person {
			t.Errorf("%s: %s %q, person %v; want %s %q, %v", name, got.Level, got.Text, got.NeedsPerson, tt.level, tt.text, tt.person)
		}
		if got.Level == Red && got.Problems[0].Advice == "" && !strings.Contains(name, "paused") {
			t.Errorf("%s: red, and no word on what to do", name)
		}
	}
}

// What has passed in between begins anew.
func TestLasting(t *testing.T) {
	t.Parallel()
	l, now := newLasting(), time.Now()
	for _, tt := range []struct {
		at   time.Duration
		so   bool
		want time.Duration
	}{{0, true, 0}, {5, true, 5}, {6, false, 0}, {7, true, 0}, {9, true, 2}} {
		l.look(now.Add(tt.at))
		if tt.so && l.of("x") != tt.want {
			t.Errorf("at %d: %d, want %d", tt.at, l.of("x"), tt.want)
		}
	}
}
