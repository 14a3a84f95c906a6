package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Fatal receives at most one error: the server has given up, while the
// process lives on. The process then has to end.
func (n *Node) Fatal() <-chan error { return n.fatal }

func (n *Node) fail(err error) {
	if n.stopping.Load() {
		return
	}
	n.fatalOnce.Do(func() {
		n.fatalErr.Store(&err)
		n.fatal <- err
	})
}

// watch looks for a server that has stopped by itself. No space left, for
// one, disables JetStream until the process starts anew.
func (n *Node) watch() {
	defer n.watching.Done()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-n.quit:
			return
		case <-tick.C:
		}
		switch {
		case n.stopping.Load():
			return
		case !n.server.Running():
			n.fail(errors.New("the embedded nats-server has shut down by itself"))
		case !n.server.JetStreamEnabled():
			n.fail(errors.New("JetStream has been disabled in this process; the lines before say why, most likely the disk is full or not writable"))
		}
	}
}

// lookAfter looks for disks and Raft groups that have failed while the server
// lives. A look takes as long as the disk does: while that answers nobody, it
// is not known who has failed.
func (n *Node) lookAfter(metaElected func()) {
	defer close(n.looked)
	d := &disk{lock: n.lock, path: filepath.Join(n.cfg.DataDir(n.self.Name), lockFile), synced: n.fsyncs.add}
	g := newGroups(n, metaElected)
	tick := time.NewTicker(groupsPoll)
	defer tick.Stop()
	for {
		select {
		case <-n.quit:
			return
		case <-tick.C:
		}
		if err := errors.Join(d.look(), g.look()); err != nil {
			n.fail(fmt.Errorf("this node has to be started again: %w", err))
		}
	}
}

// Stop ends the server: it gives leadership away, closes what clients are
// left, and waits until everything is down. When ctx ends, or has ended, it
// goes down at once. Own connections are closed by their owners before.
func (n *Node) Stop(ctx context.Context) {
	if !n.stopping.CompareAndSwap(false, true) {
		return
	}
	close(n.quit)
	n.watching.Wait()
	select {
	case <-n.looked:
	case <-ctx.Done(): // the disk may never answer
	}
	if ctx.Err() == nil {
		lame := make(chan struct{})
		go func() {
			defer close(lame)
			n.conn.Close()
			n.server.LameDuckShutdown()
		}()
		select {
		case <-lame:
		case <-ctx.Done():
		}
		defer func() { <-lame }()
	}
	n.shutdown(false)
}

// shutdown takes everything down that start has brought up so far.
func (n *Node) shutdown(failed bool) {
	if failed {
		n.stopping.Store(true)
	}
	if n.conn != nil {
		n.conn.Close()
	}
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
	if err := unlock(n.lock); err != nil {
		n.log.Warn("release data directory", "error", err)
	}
}
