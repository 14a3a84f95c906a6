package drill

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall/drill/volume"
)

// lookAgain is how often a fault that lasts looks at what became of those who
// suffer it.
const lookAgain = 250 * time.Millisecond

func diskFaults() []Fault {
	disk := func(name, about string, takes int, hold [2]time.Duration, inflict func(context.Context, *Site, Act) error) Fault {
		return Fault{Name: name, Group: "disk", About: about, Takes: Takes{Nodes: takes}, Hold: hold, Lacks: lacksDisks, Inflict: inflict}
	}
	return []Fault{
		disk("fsync-stall", "one node's disk stands still for 0.3, 1 or 3 s: every write and every fsync waits", 1,
			[2]time.Duration{300 * time.Millisecond, 3 * time.Second}, stallDisk),
		disk("node-disk-full", "one node's disk has not a byte left", 1,
			[2]time.Duration{time.Second, 4 * time.Second}, fillNodeDisk),
		disk("power-cut-one", "one node loses power: what it had not fsynced is gone", 1,
			[2]time.Duration{downShortest, downLongest}, cutPowerOfOne),
		disk("power-cut-all", "all three nodes lose power at the same moment: what was not fsynced is gone", 3,
			[2]time.Duration{downShortest, downLongest}, cutPowerOfAll),
	}
}

// lacksDisks says why the nodes have no disks of their own.
func lacksDisks(s *Site) string {
	if s.Disks != nil {
		return ""
	}
	if why := volume.Lacking(); why != "" {
		return why
	}
	return "the nodes have no disks of their own"
}

// anyNode claims a node: as chance will have it the one that leads the stream,
// the one that stores, or whichever.
func (s *Site) anyNode(ctx context.Context, a Act) (node string, release func(), err error) {
	chance, now, names := a.Rand(), s.Leaders(ctx), s.nodeNames()
	whichever := names[chance.IntN(len(names))]
	return s.Claim([]string{now.Stream, now.Consumer, whichever}[chance.IntN(3)], whichever)
}

// stallDisk freezes a node's disk. Heartbeats wait behind fsyncs, so that a
// stall as long as the election timeout costs a leader its place.
func stallDisk(ctx context.Context, s *Site, a Act) error {
	node, release, err := s.anyNode(ctx, a)
	if err != nil {
		return err
	}
	defer release()
	stall := stallOf(a.Hold)
	s.Say("  %s: every write of %s waits, for %s", a.Fault.Name, node, stall)
	err = s.Disks[node].Freeze()
	if err == nil {
		pause(ctx, stall)
	}
	return errors.Join(err, s.Disks[node].Thaw())
}

// stallOf makes one of three stalls of the time that chance gave: less than an
// election timeout, about one, and several.
func stallOf(hold time.Duration) time.Duration {
	switch {
	case hold < time.Second:
		return 300 * time.Millisecond
	case hold < 2*time.Second:
		return time.Second
	default:
		return 3 * time.Second
	}
}

// fillNodeDisk takes all room from a node. A node that ends then is started
// again every second, as any supervisor would, whether or not there is room.
func fillNodeDisk(ctx context.Context, s *Site, a Act) error {
	node, release, err := s.anyNode(ctx, a)
	if err != nil {
		return err
	}
	defer release()
	disk, starts := s.Disks[node], 0
	s.Say("  %s: %s has no room left, for %s", a.Fault.Name, node, a.Hold)
	err = whileHeld(ctx, a.Hold, func(ticks int) error {
		if ch, err := s.Cluster.child(node); err == nil && !ch.running() && ticks%4 == 3 {
			starts++
			if err := s.Cluster.Start(node); err != nil {
				return err
			}
		}
		// What it gives up in its need is taken, too.
		return disk.Fill()
	})
	err = errors.Join(err, disk.Free(), s.startAgain(node))
	s.Say("  %s: %s has room again; meanwhile it ended, and was started again, %d times", a.Fault.Name, node, starts)
	return err
}

// whileHeld does something at once and again and again for so long, or until
// ctx ends or it fails. It is told how often it was done before.
func whileHeld(ctx context.Context, hold time.Duration, do func(ticks int) error) error {
	end := time.Now().Add(hold)
	for ticks := 0; ; ticks++ {
		if err := do(ticks); err != nil {
			return err
		}
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			return nil
		}
		pause(ctx, min(left, lookAgain))
	}
}

func cutPowerOfOne(ctx context.Context, s *Site, a Act) error {
	node, release, err := s.anyNode(ctx, a)
	if err != nil {
		return err
	}
	defer release()
	return s.cutPower(ctx, a, node)
}

func cutPowerOfAll(ctx context.Context, s *Site, a Act) error {
	nodes, release, err := s.claimSeveral(a, len(s.nodeNames()))
	if err != nil {
		return err
	}
	defer release()
	return s.cutPower(ctx, a, nodes...)
}

// cutPower takes the power from nodes that are claimed. After the act's time
// they start again.
func (s *Site) cutPower(ctx context.Context, a Act, nodes ...string) error {
	apart, err := s.cut(ctx, nodes)
	s.Say("  %s: no power for %s, for %s; cut within %s", a.Fault.Name, listed(nodes), a.Hold, apart.Round(time.Microsecond))
	pause(ctx, a.Hold)
	for _, node := range nodes {
		// A node without its disk must not start: it would find another,
		// empty place there, and take it for its own.
		if gone := s.Disks[node].Remount(); gone != nil {
			err = errors.Join(err, fmt.Errorf("give %s its power back: %w", node, gone))
			continue
		}
		err = errors.Join(err, s.startAgain(node))
	}
	return err
}

// cut ends processes and disks at the same moment, and returns when all are
// dead. The processes come first: that takes microseconds for all of them,
// while a disk that is being cut takes some milliseconds to write that down.
// Nothing becomes durable in between, since closing a file flushes nothing on a
// volume, and nobody is left who could acknowledge anything. It tells how far
// apart the processes were.
func (s *Site) cut(ctx context.Context, nodes []string) (apart time.Duration, err error) {
	var errs []error
	start := time.Now()
	for _, node := range nodes {
		ch, err := s.Cluster.child(node)
		if err == nil {
			err = ch.signal(syscall.SIGKILL)
		}
		errs = append(errs, err)
	}
	apart = time.Since(start)
	var g errgroup.Group
	for _, node := range nodes {
		g.Go(s.Disks[node].CutPower)
	}
	errs = append(errs, g.Wait(), s.killNow(ctx, nodes...))
	return apart, errors.Join(errs...)
}
