package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// SoakOptions say what `app drill` does.
type SoakOptions struct {
	Binary   string        // the program that the nodes run
	Version  string        // of that program, for the report
	Seed     uint64        // decides everything that chance does
	Duration time.Duration // of the faults; the round that is under way then is finished
	Faults   []string      // groups or names, see ChooseFaults; none: all
	Rate     float64       // messages a second
	Keep     bool          // leave the directory with ledger and logs, whatever is found
	Out      io.Writer     // the story
	Terminal bool          // Out is one: show progress
}

// How long the steps of a drill may take.
const (
	// recoverLimit is what is promised: that long after the last fault of a
	// round is undone, every node acknowledges again, and Postgres has what
	// was published by then. What takes longer is a finding.
	recoverLimit = 60 * time.Second

	// hopeless is when a drill gives up on a cluster that does not recover.
	hopeless = 5 * time.Minute

	soakPatience = 5 * time.Minute // for one message; an outage of Postgres and a full stream may take as long
)

// soak is one run.
type soak struct {
	SoakOptions
	n       *narrator
	site    *Site
	plan    *Plan
	chosen  []Fault
	report  *Report
	meter   *meter
	began   time.Time
	undoing []func() error
}

// Soak runs a cluster of its own under load and lets faults happen to it, one
// round after another, until Duration is over; then it heals and holds
// ledgers, stream and Postgres against each other. The report tells what was
// found, and ErrBroken that a promise was not kept; any other error is the
// drill's own failure. When it returns, all that it started is gone, also
// after a failure or the end of ctx; the directory with ledger and logs stays
// if something was found.
func Soak(ctx context.Context, o SoakOptions) (report *Report, err error) {
	k := &soak{SoakOptions: o, n: &narrator{out: o.Out, terminal: o.Terminal}, site: &Site{
		DuplicateWindow: soakDuplicateWindow, ReplayWindow: soakReplayWindow,
	}}
	k.report = newReport(o)
	defer k.n.erase()
	if k.chosen, err = ChooseFaults(o.Faults); err != nil {
		return k.report, err
	}
	defer func() { err = errors.Join(err, k.tearDown()) }()

	switch err = k.run(ctx); {
	case err != nil && ctx.Err() != nil:
		err = ctx.Err() // whatever it interrupted
	case err != nil && k.site.Cluster != nil && !errors.Is(err, ErrBroken):
		err = fmt.Errorf("%w\n\nThe nodes' last warnings and errors:\n%s", err, strings.TrimRight(k.site.Cluster.Trouble(5), "\n"))
	}
	if k.site.Cluster != nil && (o.Keep || err != nil && ctx.Err() == nil) {
		k.report.Evidence = k.keepEvidence()
		if k.report.Verdict.Offered == 0 && k.report.Evidence != "" { // otherwise the report says it
			k.n.say("ledger, logs and cluster.yaml are in %s", k.report.Evidence)
		}
	}
	return k.report, err
}

// run is the drill from the first process to the verdict.
func (k *soak) run(ctx context.Context) error {
	k.n.say("setting up: a private Postgres, three nodes, seed %d", k.Seed)
	k.site.Say = k.n.say
	k.site.Gate = NewGate()
	if err := k.setUp(ctx); err != nil {
		return err
	}
	k.chooseHere()
	if len(k.report.Kinds) == 0 {
		return errors.New("none of the faults asked for can be had on this machine")
	}
	if err := k.startNodes(ctx); err != nil {
		return err
	}
	if err := k.refuseBad(ctx); err != nil {
		return err
	}
	if err := k.describe(ctx); err != nil {
		return err
	}
	var err error
	if k.report.Fresh, err = k.site.Cluster.Rest(ctx); err != nil {
		return err
	}
	k.began = time.Now()
	if err := k.underLoad(ctx, k.storm); err != nil {
		return err
	}
	return k.conclude(ctx)
}

// chooseHere leaves out what cannot be had on this machine, and says why.
func (k *soak) chooseHere() {
	var here []Fault
	for _, f := range k.chosen {
		why := ""
		if f.Lacks != nil {
			why = f.Lacks(k.site)
		}
		if why != "" {
			k.report.LeftOut = append(k.report.LeftOut, LeftOut{f.Name, why})
			continue
		}
		here = append(here, f)
		k.report.Kinds = append(k.report.Kinds, &KindReport{Name: f.Name, Group: f.Group, About: f.About})
	}
	for _, line := range leftOutLines(k.report.LeftOut) {
		k.n.say("%s", line)
	}
	if len(here) > 0 {
		k.plan = NewPlan(k.Seed, here)
	}
}

// storm lets one round of faults after another happen, until the time is over.
func (k *soak) storm(ctx context.Context) error {
	k.n.say("%s of faults begin, at %.0f messages a second", k.Duration, k.Rate)
	for time.Since(k.began) < k.Duration {
		if err := k.round(ctx, k.plan.Next()); err != nil {
			return err
		}
	}
	k.report.Lasted = time.Since(k.began)
	return nil
}
