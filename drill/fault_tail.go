package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// tailLength is how many messages the stream forgets, at least, and
	// tailPatience how long they are waited for.
	tailLength   = 300
	tailPatience = 30 * time.Second

	// copyTime bounds the copying of one node's directory.
	copyTime = 2 * time.Minute
)

// cutTail copies the directories of all nodes while they are down, has them go
// on for a while, and puts the copies in their place, as from a backup. The
// stream then ends before Postgres' cursor, and gives its numbers out again.
func cutTail(ctx context.Context, s *Site, a Act) (err error) {
	copies := filepath.Join(s.Cluster.Dir(), "copies")
	defer func() { err = errors.Join(err, os.RemoveAll(copies)) }()
	if err := os.MkdirAll(copies, 0o700); err != nil {
		return fmt.Errorf("make room for copies: %w", err)
	}
	// Nothing may be in hand: what the copy has of a message that is
	// acknowledged later would come again.
	err = s.allDown(ctx, a, "and their directories are copied", func(node string) error {
		return s.copyNode(ctx, node, filepath.Join(copies, node))
	})
	if err != nil {
		return err
	}
	if err := s.awaitTail(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	return s.allDown(ctx, a, "and their directories are put back to the copies", func(node string) error {
		return s.putNodeBack(ctx, filepath.Join(copies, node), node)
	})
}

// awaitTail waits until all nodes are there again, and some messages more.
func (s *Site) awaitTail(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	if err := s.awaitBack(waiting, s.nodeNames()...); err != nil {
		return err
	}
	want := s.Ledger.Tally().Acked + tailLength
	few, cancel := context.WithTimeout(ctx, tailPatience)
	defer cancel()
	// Fewer will do.
	_ = poll(few, 50*time.Millisecond, func(context.Context) (bool, error) { return s.Ledger.Tally().Acked >= want, nil })
	return nil
}

func (s *Site) copyNode(ctx context.Context, node, to string) error {
	ctx, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	return copyTree(ctx, s.Cluster.DataPath(node), to)
}

// putNodeBack fills a node's directory with the copy, and has it on its disk.
// It does so also when ctx ends: half a directory is none.
func (s *Site) putNodeBack(ctx context.Context, from, node string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyTime)
	defer cancel()
	if err := s.empty(node); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("put back the directory of %s: %w", node, err)
	}
	data := s.Cluster.DataPath(node)
	for _, e := range entries {
		if e.Name() == lostAndFound {
			continue
		}
		if err := copyTree(ctx, filepath.Join(from, e.Name()), filepath.Join(data, e.Name())); err != nil {
			return err
		}
	}
	return syncDisk(data)
}
