package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// describe enters what the figures have to be read with.
func (k *soak) describe(ctx context.Context) error {
	var version string
	if err := k.site.SQL.QueryRow(ctx, `SELECT current_setting('server_version')`).Scan(&version); err != nil {
		return fmt.Errorf("ask Postgres for its version: %w", err)
	}
	k.report.Machine += ", PostgreSQL " + version
	return nil
}

// conclude holds ledgers, stream and Postgres against each other, after
// everything has healed and nothing more is published.
func (k *soak) conclude(ctx context.Context) error {
	s := k.site
	k.n.say("the faults are over: waiting until Postgres has everything")
	if err := k.heal(ctx); err != nil {
		return err
	}
	k.n.say("holding the replicas against each other")
	found := k.holdReplicas(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	panicked, err := k.panics()
	if err != nil {
		return err
	}
	found = append(found, panicked...)
	k.n.say("holding the ledger against the tables")
	if k.report.Verdict, err = Check(ctx, s.Server.URL(), s.Ledger); err != nil {
		return err
	}
	changes, err := CheckChanges(ctx, s.Server.URL(), s.Changes)
	if err != nil {
		return err
	}
	k.report.Changes = &changes
	k.report.Found = append(append(k.report.Found, s.Findings()...), found...)
	if k.report.Kept = k.report.Holds(); !k.report.Kept {
		return ErrBroken
	}
	return nil
}

// heal waits until all has recovered; nodes may still end by themselves.
func (k *soak) heal(ctx context.Context) error {
	watched, unwatch := context.WithCancel(ctx)
	defer unwatch()
	var watcher errgroup.Group
	watcher.Go(func() error { return k.supervise(watched) })
	_, err := k.recovery(ctx)
	unwatch()
	return errors.Join(err, watcher.Wait())
}

// holdReplicas compares what the nodes have, and measures them at rest. What
// cannot be had is a finding: the ledger is still to be judged.
func (k *soak) holdReplicas(ctx context.Context) (found []string) {
	ctx, cancel := context.WithTimeoutCause(ctx, hopeless, fmt.Errorf("no answer after %s", hopeless))
	defer cancel()
	for _, stream := range k.site.streams() {
		differ, err := Replicas(ctx, k.site.Conn, stream, k.site.nodeNames())
		if err != nil {
			differ = append(differ, fmt.Sprintf("hold the replicas of %s against each other: %v", stream, errors.Join(err, context.Cause(ctx))))
		}
		found = append(found, differ...)
	}
	var err error
	if k.report.Rested, err = k.site.Cluster.Rest(ctx); err != nil {
		return append(found, fmt.Sprintf("measure the nodes at rest: %v", err))
	}
	return append(found, Growth(k.report.Fresh, k.report.Rested)...)
}

// panics are the nodes' logs' lines with which Go's runtime ends a process:
// such a node is started again and recovers, and is broken all the same.
func (k *soak) panics() (found []string, err error) {
	for _, node := range k.site.nodeNames() {
		text, err := os.ReadFile(k.site.Cluster.LogPath(node))
		if err != nil {
			return nil, fmt.Errorf("read the node's log: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
				found = append(found, node+" ended with "+strings.TrimSpace(line))
			}
		}
	}
	return found, nil
}

// keepEvidence moves what explains a finding to a directory that stays, and
// returns its path.
func (k *soak) keepEvidence() string {
	dir, err := os.MkdirTemp("", fmt.Sprintf("landfall-drill-%s-%d-", time.Now().Format("20060102-150405"), k.Seed))
	if err != nil {
		k.n.say("the ledger cannot be kept: %v", err)
		return ""
	}
	for _, l := range []*Ledger{k.site.Ledger, k.site.Changes} {
		if l != nil {
			_ = l.Close() // the check has read it, or said why not
		}
	}
	files, _ := filepath.Glob(filepath.Join(k.site.Cluster.Dir(), "*.log")) // a fixed pattern
	for _, file := range append(files, k.site.Cluster.ConfigPath(), k.ledgerDir(), k.changesDir()) {
		if err := os.Rename(file, filepath.Join(dir, filepath.Base(file))); err != nil && !os.IsNotExist(err) {
			k.n.say("not kept: %v", err)
		}
	}
	// It lies on a disk of its own.
	if text, err := os.ReadFile(filepath.Join(k.postgresDir(), "postgres.log")); err == nil {
		if err := os.WriteFile(filepath.Join(dir, "postgres.log"), text, 0o600); err != nil {
			k.n.say("not kept: %v", err)
		}
	}
	return dir
}
