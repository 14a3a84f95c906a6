package drill

import (
	"context"
	"testing"
	"time"
)

// First the stream's leader is killed, then the node that stores, while other
// nodes have the other part; and then the two together, in one node.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{})
	nc := r.dial()
	ledger := newLedger(t)
	r.load(ledger, 8000, 1000, func(ctx context.Context) error {
		for _, part := range []struct {
			at     int
			choose func(Leaders) string
		}{
			{1000, func(l Leaders) string { return l.Stream }},
			{3000, func(l Leaders) string { return l.Consumer }},
			{5000, func(l Leaders) string { return l.Both() }},
		} {
			if err := settled(ctx, ledger, part.at); err != nil {
				return err
			}
			now, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true })
			if err != nil {
				return err
			}
			victim := part.choose(now)
			if victim == "" {
				victim = now.Stream
				if err := LeadBoth(ctx, nc, Stream, victim); err != nil {
					return err
				}
			}
			t.Logf("killing %s of %+v", victim, now)
			if err := r.killAgain(ctx, nc, victim); err != nil {
				return err
			}
		}
		return nil
	})
	if v := r.proves(ledger); v.LongestGap > 15*time.Second {
		t.Errorf("nothing was acknowledged for %s", v.LongestGap)
	}
}

// All nodes at once: nobody is left to hold anything but the disks.
func TestKillAll(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{})
	ledger := newLedger(t)
	r.load(ledger, 3000, 1000, func(ctx context.Context) error {
		if err := settled(ctx, ledger, 1000); err != nil {
			return err
		}
		if err := r.End(); err != nil {
			return err
		}
		for _, node := range r.nodeNames() {
			if err := r.Start(node); err != nil {
				return err
			}
		}
		return r.AwaitReady(ctx)
	})
	r.proves(ledger)
}

// A node asked to stop hands over what it leads, and exits well.
func TestTermUnderLoad(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{})
	nc := r.dial()
	ledger := newLedger(t)
	r.load(ledger, 3000, 1000, func(ctx context.Context) error {
		if err := settled(ctx, ledger, 1000); err != nil {
			return err
		}
		now, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true })
		if err != nil {
			return err
		}
		how, err := r.Term(ctx, now.Stream)
		if err != nil || how != "exit status 0" {
			t.Errorf("%s ended with %q, %v", now.Stream, how, err)
		}
		if err := r.Start(now.Stream); err != nil {
			return err
		}
		return r.AwaitReady(ctx, now.Stream)
	})
	r.proves(ledger)
}

func TestSingleNode(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{Nodes: 1})
	ledger := newLedger(t)
	r.load(ledger, 2000, 1000, func(ctx context.Context) error {
		if err := settled(ctx, ledger, 500); err != nil {
			return err
		}
		if _, err := r.Kill(ctx, "n1"); err != nil {
			return err
		}
		if err := r.Start("n1"); err != nil {
			return err
		}
		return r.AwaitReady(ctx, "n1")
	})
	r.proves(ledger)
}
