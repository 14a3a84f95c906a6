package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// catchUpPatience is how long a node may take to get the whole stream from the
// others.
const catchUpPatience = 3 * time.Minute

// lostAndFound is what every ext4 file system has at its top.
const lostAndFound = "lost+found"

// wipeOne empties the directory of one node, as when its disk is replaced. The
// others have all of it before, and have settled who leads by the time it comes
// back: an empty node has no say in that.
func wipeOne(ctx context.Context, s *Site, a Act) error {
	chance := a.Rand()
	now := s.Leaders(ctx)
	all, release, err := s.claimSeveral(a, nodes)
	if err != nil {
		return err
	}
	defer release()
	victim := []string{now.Stream, now.Consumer, s.metaLeader(), all[0]}[chance.IntN(4)]
	if victim == "" {
		victim = all[0]
	}
	if err := s.awaitAllOfIt(ctx); err != nil {
		return err
	}
	s.Say("  %s: kill -9 of %s, and its directory is emptied, for %s", a.Fault.Name, victim, a.Hold)
	err = s.killNow(ctx, victim)
	if err == nil {
		err = s.empty(victim)
	}
	if err == nil {
		pause(ctx, a.Hold)
		err = s.awaitOthers(ctx, victim)
	}
	if err := errors.Join(err, s.startAgain(victim)); err != nil {
		return err
	}
	began := time.Now()
	// Before another node may lose what this one does not have yet.
	switch err := s.awaitAllOfIt(ctx); {
	case ctx.Err() != nil:
	case err != nil:
		s.Found("%s: %s does not get the stream from the others: %v", a.Fault.Name, victim, err)
	default:
		s.Say("  %s: %s has all of the stream again after %s", a.Fault.Name, victim, seconds(time.Since(began)))
	}
	return nil
}

// awaitAllOfIt waits until all nodes are ready and have all of the streams.
func (s *Site) awaitAllOfIt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpPatience)
	defer cancel()
	if err := s.awaitBack(ctx, s.nodeNames()...); err != nil {
		return err
	}
	for _, stream := range s.streams() {
		if err := s.awaitCaughtUp(ctx, stream); err != nil {
			return err
		}
	}
	return nil
}

// awaitOthers waits until others lead the streams and their consumers.
func (s *Site) awaitOthers(ctx context.Context, gone string) error {
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	for _, stream := range s.streams() {
		if _, err := AwaitLeaders(ctx, s.Conn, stream, func(l Leaders) bool { return l.Stream != gone && l.Consumer != gone }); err != nil {
			return err
		}
	}
	return nil
}

// wipeAll empties the directories of all nodes: the cluster begins anew, and
// Postgres keeps what it has.
func wipeAll(ctx context.Context, s *Site, a Act) error {
	return s.allDown(ctx, a, "and their directories are emptied", s.empty)
}

// allDown kills all nodes once everything is stored, does something to each
// one's directory, and starts them again.
func (s *Site) allDown(ctx context.Context, a Act, what string, do func(node string) error) error {
	all, release, err := s.claimSeveral(a, nodes)
	if err != nil {
		return err
	}
	defer release()
	open, err := s.settleAll(ctx)
	if err != nil {
		return err
	}
	defer open()
	s.Say("  %s: kill -9 of all nodes, %s", a.Fault.Name, what)
	err = s.killNow(ctx, all...)
	for _, node := range all {
		if err == nil {
			err = do(node)
		}
	}
	open()
	return errors.Join(err, s.startAgain(all...))
}

// empty removes everything from the directory of a node that does not run. The
// directory itself may be where a disk is mounted.
func (s *Site) empty(node string) error {
	data := s.Cluster.DataPath(node)
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("empty the directory of %s: %w", node, err)
	}
	for _, e := range entries {
		if e.Name() == lostAndFound {
			continue
		}
		if err := os.RemoveAll(filepath.Join(data, e.Name())); err != nil {
			return fmt.Errorf("empty the directory of %s: %w", node, err)
		}
	}
	return nil
}
