package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"landfall/words"
)

// How long something may be wrong before it is said, and before it is said to
// be more than a moment's.
const (
	momentary = 3 * time.Second  // nobody needs to know: a restart, a report that was lost
	patience  = 10 * time.Second // Postgres may have been restarted
	tooLong   = time.Minute      // what mends itself has done so by then
	behindBy  = time.Second      // until then messages are merely on their way

	gapNews   = 24 * time.Hour // for how long a gap is an alarm
	nearlyAll = 0.90           // of max_bytes: the sink lets go of what is stored above 0.80
	full      = 0.995
)

// judge gives the view its verdict.
func judge(v *View, l *lasting) {
	j := &judgement{View: v, lasting: l}
	j.nodes()
	j.streams()
	j.postgres()
	j.letters()
	if len(j.problems) == 0 && v.InFlight == nil {
		j.say(Problem{Level: Amber, Text: "finding out what is stored"})
	}
	slices.SortStableFunc(j.problems, func(a, b Problem) int { return cmp.Compare(severity(b.Level), severity(a.Level)) })
	v.Verdict = Verdict{Level: Green, Text: j.calm(), Problems: j.problems}
	if v.Verdict.Problems == nil {
		v.Verdict.Problems = []Problem{}
	}
	for i, p := range j.problems {
		if i == 0 {
			v.Verdict.Level, v.Verdict.Text = p.Level, p.Text
		}
		v.Verdict.NeedsPerson = v.Verdict.NeedsPerson || p.NeedsPerson
	}
}

func severity(l Level) int { return slices.Index([]Level{Green, Amber, Red}, l) }

// judgement collects problems, in the order in which one wants to hear them.
type judgement struct {
	*View
	*lasting
	problems []Problem
}

func (j *judgement) say(p Problem) { j.problems = append(j.problems, p) }

// passing says what mends itself mostly, and is for a person if it lasts.
func (j *judgement) passing(what, text, advice string) {
	p := Problem{Level: Amber, Text: text}
	if d := j.of(what); d >= tooLong {
		p = Problem{Level: Red, Text: fmt.Sprintf("%s, for %s", text, span(d)), Advice: advice, NeedsPerson: true}
	}
	j.say(p)
}

// calm is what to say when nothing is wrong.
func (j *judgement) calm() string {
	if j.InFlight == nil || *j.InFlight == 0 {
		return "all stored"
	}
	return fmt.Sprintf("storing: %s in flight", words.Thousands(int(*j.InFlight)))
}

// named are the nodes in a state.
func (j *judgement) named(in ...NodeState) (names []string) {
	for _, n := range j.Nodes {
		if slices.Contains(in, n.State) {
			names = append(names, n.Name)
		}
	}
	return names
}

func (j *judgement) nodes() {
	gone, unseen := j.named(NodeDown), j.named(NodeUnseen)
	away := slices.Concat(gone, unseen)
	majority := len(j.Nodes)/2 + 1
	lost := len(j.Nodes)-len(away) < majority
	switch {
	case len(away) == 0:
	case lost && len(gone) == 0:
		j.passing("unseen", "waiting for "+list(unseen), "start them: a cluster's first start needs all its nodes, later a majority")
	case lost:
		text := fmt.Sprintf("%s %s not answer, for %s: nothing can be acknowledged until a majority does", list(away), verb(away, "does", "do"), span(j.of("majority")))
		j.say(Problem{Level: Red, Text: text, Advice: "start them again, or mend the network between them and " + j.Node + "; nothing acknowledged is lost", NeedsPerson: true})
	default:
		j.fewer(unseen)
	}
	for _, n := range j.Nodes {
		if n.State == NodeUnready {
			j.passing("unready "+n.Name, fmt.Sprintf("%s is not ready: %s", n.Name, n.Reason), "see the log of "+n.Name)
		}
	}
}

// fewer says which nodes are away, where a majority is there.
func (j *judgement) fewer(unseen []string) {
	const advice = "start it again; nothing acknowledged is lost"
	for _, n := range j.Nodes {
		if n.State == NodeDown {
			j.say(Problem{Level: Amber, Text: fmt.Sprintf("%s has been down for %s", n.Name, span(seconds(n.For))), Advice: advice, NeedsPerson: true})
		}
	}
	if len(unseen) == 0 {
		return
	}
	p := Problem{Level: Amber, Text: "waiting for " + list(unseen)}
	if d := j.of("unseen"); d >= tooLong {
		p.Text, p.Advice, p.NeedsPerson = fmt.Sprintf("%s, for %s", p.Text, span(d)), advice, true
	}
	j.say(p)
}

// led tells whether a majority is there: without one it is no news that
// streams have no leaders.
func (j *judgement) led() bool {
	return 2*len(j.named(NodeUp, NodeUnready)) > len(j.Nodes)
}

func (j *judgement) streams() {
	started := !slices.ContainsFunc(j.Nodes, func(n NodeView) bool { return n.Itself && n.State == NodeUnready })
	for i := range j.Streams {
		s := &j.Streams[i]
		if s.MaxBytes > 0 && float64(s.Bytes) >= full*float64(s.MaxBytes) {
			j.say(Problem{Level: Red, NeedsPerson: true, Text: s.Name + " is full: new messages are refused",
				Advice: "see that Postgres stores again, or raise max_bytes; nothing already taken is dropped"})
		} else if s.MaxBytes > 0 && float64(s.Bytes) >= nearlyAll*float64(s.MaxBytes) {
			j.say(Problem{Level: Amber, NeedsPerson: true, Text: fmt.Sprintf("%s is %.0f %% full", s.Name, 100*float64(s.Bytes)/float64(s.MaxBytes)),
				Advice: "full, it refuses new messages: see that Postgres keeps up, or raise max_bytes"})
		}
		j.sink(s, started && j.led())
	}
}

// sink says what is wrong with the way of one stream's messages.
func (j *judgement) sink(s *StreamView, led bool) {
	down := j.Postgres.State == "down"
	stuck := seconds(s.For) // also where the sink has moved since
	if s.Lag != nil {
		stuck = max(stuck, seconds(*s.Lag))
	}
	back := j.Postgres.State == "up" && seconds(j.Postgres.For) < patience // the sink may not have noticed
	if back {
		stuck = min(stuck, seconds(j.Postgres.For))
	}
	switch {
	case s.State == string(SinkIsPaused):
		j.say(Problem{Level: Red, Text: s.Name + " is paused: " + s.Reason, Advice: s.Advice, NeedsPerson: true})
		return
	case !led:
		return
	case s.State == "missing":
		j.passing("missing "+s.Name, "stream "+s.Name+" is not there", "app nats stream info "+s.Name+" says why, or the nodes' logs")
		return
	case s.Leader == "":
		if j.of("leaderless "+s.Name) >= momentary {
			j.passing("leaderless "+s.Name, s.Name+" has no leader: messages are held until it has", "see the nodes' logs")
		}
		return
	case down:
		return // said once, for all streams
	case s.Sink == "":
		if j.of("nobody "+s.Name) >= momentary {
			j.passing("nobody "+s.Name, "nobody stores "+s.Name, "see the nodes' logs")
		}
		return
	case s.State == string(SinkOutage) && stuck >= momentary:
		p := Problem{Level: Amber, Text: fmt.Sprintf("%s is not stored, for %s: %s", s.Name, span(stuck), s.Reason), Advice: "messages are kept; it is tried again and again"}
		if stuck >= tooLong {
			p.Level, p.NeedsPerson = Red, true
		}
		j.say(p)
		return
	}
	if s.InFlight == nil || *s.InFlight == 0 {
		return
	}
	if still := seconds(s.Still); still >= patience && !back {
		p := Problem{Level: Amber, Text: fmt.Sprintf("%s: nothing was stored for %s, %s behind", s.Name, span(still), words.Thousands(int(*s.InFlight)))}
		if still >= tooLong {
			p.Level, p.NeedsPerson, p.Advice = Red, true, "see the log of "+s.Sink+", and what Postgres waits for (pg_stat_activity)"
		}
		j.say(p)
		return
	}
	if lag := seconds(*s.Lag); lag >= behindBy+trendEvery {
		text := fmt.Sprintf("catching up: %s behind, %s", words.Thousands(int(*s.InFlight)), span(lag))
		if len(j.Streams) > 1 {
			text = s.Name + " is " + text
		}
		j.say(Problem{Level: Amber, Text: text})
	}
}

func (j *judgement) postgres() {
	switch j.Postgres.State {
	case "down":
		d := max(seconds(j.Postgres.For), j.of("Postgres down"))
		j.Postgres.For = d.Seconds()
		if d < momentary {
			return
		}
		p := Problem{Level: Amber, Text: fmt.Sprintf("Postgres unreachable for %s: messages are kept%s", span(d), j.room())}
		if d >= patience {
			p.Level, p.NeedsPerson = Red, true
			p.Advice = "start it, or see whether postgres.url is right (app validate --connect); storing goes on by itself"
		}
		j.say(p)
	case "partly":
		if d := j.of("Postgres partly"); d >= patience {
			p := Problem{Level: Amber, Text: fmt.Sprintf("%s %s not reach Postgres, for %s; %s %s", list(j.Postgres.Missed), verb(j.Postgres.Missed, "does", "do"), span(d),
				list(j.Postgres.Reached), verb(j.Postgres.Reached, "does", "do"))}
			p.NeedsPerson = d >= tooLong
			j.say(p)
		}
	case "unknown":
		j.of("Postgres unknown")
	}
}

// room says how much more fits while Postgres is away: for how long at the
// present rate, of the stream that is full first.
func (j *judgement) room() string {
	least, bytes := time.Duration(-1), int64(-1)
	for _, s := range j.Streams {
		free := s.MaxBytes - int64(s.Bytes)
		if bytes < 0 || free < bytes {
			bytes = free
		}
		if s.PublishRate == nil || *s.PublishRate <= 0 || s.Messages == 0 || free <= 0 {
			continue
		}
		each := float64(s.Bytes) / float64(s.Messages)
		lasts := float64(free) / (each * *s.PublishRate)
		if d := seconds(min(lasts, 1e9)); least < 0 || d < least {
			least = d
		}
	}
	switch {
	case bytes <= 0:
		return ""
	case least >= 0:
		return ", room for " + span(least) + " more"
	}
	return ", room for " + words.Size(bytes) + " more"
}

func (j *judgement) letters() {
	var waiting int64
	for _, s := range j.Streams {
		if s.Gaps != nil && *s.Gaps > 0 && !s.LastGap.IsZero() && j.Time.Sub(s.LastGap) < gapNews {
			j.say(Problem{Level: Red, NeedsPerson: true, Text: fmt.Sprintf("%s has lost messages: a gap was recorded at %s", s.Name, s.LastGap.UTC().Format("15:04 MST")),
				Advice: "landfall.gaps has their numbers, app verify counts them"})
		}
		if s.DeadLetters != nil {
			waiting += *s.DeadLetters
		}
	}
	if waiting > 0 {
		j.say(Problem{Level: Amber, NeedsPerson: true, Text: words.Count(int(waiting), "dead letter"),
			Advice: "app dead-letters list says why; mend the cause, then app dead-letters retry"})
	}
}
