package drill

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
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
	if _, err := k.recovery(ctx); err != nil {
		return err
	}
	k.n.say("holding the replicas against each other")
	found, err := Replicas(ctx, s.Conn, Stream, s.nodeNames())
	if err != nil {
		return err
	}
	if k.report.Rested, err = s.Cluster.Rest(ctx); err != nil {
		return err
	}
	found = append(found, Growth(k.report.Fresh, k.report.Rested)...)
	k.n.say("holding the ledger against the tables")
	if k.report.Verdict, err = Check(ctx, s.Server.URL(), s.Ledger); err != nil {
		return err
	}
	k.report.Found = append(append(k.report.Found, s.Findings()...), found...)
	if !k.report.Holds() {
		return ErrBroken
	}
	return nil
}

// keepEvidence moves what explains a finding to a directory that stays, and
// returns its path.
func (k *soak) keepEvidence() string {
	dir, err := os.MkdirTemp("", fmt.Sprintf("landfall-drill-%s-%d-", time.Now().Format("20060102-150405"), k.Seed))
	if err != nil {
		k.n.say("the ledger cannot be kept: %v", err)
		return ""
	}
	if k.site.Ledger != nil {
		_ = k.site.Ledger.Close() // the check has read it, or said why not
	}
	files, _ := filepath.Glob(filepath.Join(k.site.Cluster.Dir(), "*.log")) // a fixed pattern
	for _, file := range append(files, k.site.Cluster.ConfigPath(), k.ledgerDir()) {
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
