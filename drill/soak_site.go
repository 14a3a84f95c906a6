package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/drill/pgproxy"
	"landfall/drill/volume"
	"landfall/pgserver"
)

// What the cluster of a drill is set to. The windows are short, so that a
// drill of minutes gets beyond them; the stream holds far more than Postgres
// can fall behind.
const (
	soakDuplicateWindow = 5 * time.Second
	soakReplayWindow    = 5 * time.Minute
	soakMaxBytes        = "2GiB"

	nodeDisk     = 6 << 30 // sparse
	postgresDisk = 24 << 30

	// postgresName is where a site's Disks have the one of Postgres.
	postgresName = "postgres"
)

// setUp builds everything that faults work on, in a directory of its own.
// What it has built by then, tearDown takes away, also after an error.
func (k *soak) setUp(ctx context.Context) error {
	var err error
	names := []string{"n1", "n2", "n3"}
	s := k.site
	if s.Machines, err = NewMachines(names...); err != nil {
		return err
	}
	k.undo(s.Machines.Close)
	o := Options{
		Binary: k.Binary, MaxBytes: soakMaxBytes,
		StreamKeys: fmt.Sprintf("replay_window: %s, duplicate_window: %s", soakReplayWindow, soakDuplicateWindow),
		Streams:    []string{changesLine()},
	}
	if s.Machines.Isolated() {
		o.Machines, o.Token = s.Machines, rand.Text()
	}
	if s.Cluster, err = NewCluster(o); err != nil {
		return err
	}
	k.undo(s.Cluster.Close)
	// Postgres may run as another user, who has to get to its directory.
	if err := os.Chmod(s.Cluster.Dir(), 0o711); err != nil {
		return fmt.Errorf("open the way to Postgres' directory: %w", err)
	}
	if err := k.mount(names); err != nil {
		return err
	}
	if err := k.startPostgres(ctx); err != nil {
		return err
	}
	if err := k.layWays(ctx, names); err != nil {
		return err
	}
	if s.Ledger, err = NewLedger(k.ledgerDir()); err != nil {
		return err
	}
	k.undo(s.Ledger.Close)
	if s.Changes, err = NewLedger(k.changesDir()); err != nil {
		return err
	}
	k.undo(s.Changes.Close)
	return nil
}

// mount gives each node and Postgres a disk of its own, where that can be had.
func (k *soak) mount(names []string) error {
	s := k.site
	if why := volume.Lacking(); why != "" {
		k.n.say("no disks of their own: %s", why)
		return nil
	}
	s.Disks = make(map[string]*volume.Volume)
	for _, name := range append(names, postgresName) {
		size, mountpoint := int64(nodeDisk), s.Cluster.DataPath(name)
		if name == postgresName {
			size, mountpoint = postgresDisk, k.postgresDir()
		}
		v, err := volume.Create(filepath.Join(s.Cluster.Dir(), name+".img"), mountpoint, size)
		if err != nil {
			return fmt.Errorf("make a disk for %s: %w", name, err)
		}
		k.undo(v.Close)
		s.Disks[name] = v
	}
	return nil
}

func (k *soak) postgresDir() string { return filepath.Join(k.site.Cluster.Dir(), postgresName) }

func (k *soak) ledgerDir() string { return filepath.Join(k.site.Cluster.Dir(), "ledger") }

func (k *soak) changesDir() string { return filepath.Join(k.site.Cluster.Dir(), "changes") }

func (k *soak) startPostgres(ctx context.Context) error {
	s := k.site
	o := pgserver.Options{Settings: map[string]string{"max_wal_size": "2GB"}}
	if s.Disks != nil {
		o.Dir = k.postgresDir()
	}
	if s.Machines.Isolated() {
		o.Listen, o.Password = s.Machines.Gateway, rand.Text()
	}
	var err error
	if s.Server, err = pgserver.Start(ctx, o); err != nil {
		return err
	}
	k.undo(s.Server.Stop)
	k.n.say("  a private Postgres on port %d, process %d", s.Server.Port(), s.Server.PID())
	cfg, err := pgxpool.ParseConfig(s.Server.URL())
	if err != nil {
		return fmt.Errorf("connect to the private Postgres: %w", err)
	}
	cfg.MaxConns = 8
	cfg.ConnConfig.RuntimeParams["application_name"] = "drill"
	if s.SQL, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return fmt.Errorf("connect to the private Postgres: %w", err)
	}
	k.undo(func() error { s.SQL.Close(); return nil })
	if _, err := s.SQL.Exec(ctx, changesSchema); err != nil {
		return fmt.Errorf("make the table of changes: %w", err)
	}
	return nil
}

// layWays gives each node a way to Postgres of its own.
func (k *soak) layWays(ctx context.Context, names []string) error {
	s := k.site
	host, url := "127.0.0.1", s.Server.URL()
	if s.Machines.Isolated() {
		host, url = s.Machines.Gateway, s.Server.NetworkURL()
	}
	target := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Server.Port()))
	s.Ways = make(map[string]*pgproxy.Proxy)
	urls := make(map[string]string)
	for _, name := range names {
		way, err := pgproxy.Listen(ctx, net.JoinHostPort(host, "0"), target)
		if err != nil {
			return fmt.Errorf("lay %s's way to Postgres: %w", name, err)
		}
		k.undo(way.Close)
		s.Ways[name], urls[name] = way, way.URL(url)
	}
	s.Cluster.opts.DatabaseURLs = urls
	return nil
}

// refuseBad has Postgres refuse the messages that are made bad, as a
// constraint of the user's own might.
func (k *soak) refuseBad(ctx context.Context) error {
	_, err := k.site.SQL.Exec(ctx, fmt.Sprintf(
		`ALTER TABLE public.messages ADD CONSTRAINT drill_refuses CHECK (content IS NULL OR left(content, %d) <> '%s')`,
		len(badBeginning), badBeginning))
	if err != nil {
		return fmt.Errorf("have Postgres refuse bad messages: %w", err)
	}
	return nil
}

// startNodes starts the nodes and waits until they are ready and Postgres
// knows the streams.
func (k *soak) startNodes(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, upDeadline, fmt.Errorf("not there after %s", upDeadline))
	defer cancel()
	s := k.site
	k.undo(s.Cluster.End) // before their disks are taken away
	if err := s.Cluster.Up(ctx); err != nil {
		return err
	}
	for _, n := range s.Cluster.Addresses() {
		k.n.say("  %s  process %d  NATS nats://%s  HTTP http://%s", n.Name, s.Cluster.PID(n.Name), n.Client, n.HTTP)
	}
	var err error
	if s.Conn, err = s.Cluster.Dial("drill"); err != nil {
		return err
	}
	k.undo(func() error { s.Conn.Close(); return nil })
	watch := &Watch{s.SQL}
	for _, stream := range s.streams() {
		if err := watch.AwaitCursor(ctx, stream, 0, upDeadline); err != nil {
			return err
		}
	}
	return nil
}

// undo remembers how to take something away again.
func (k *soak) undo(how func() error) { k.undoing = append(k.undoing, how) }

// tearDown takes everything away, the last first.
func (k *soak) tearDown() error {
	var errs []error
	for i := len(k.undoing) - 1; i >= 0; i-- {
		errs = append(errs, k.undoing[i]())
	}
	k.undoing = nil
	return errors.Join(errs...)
}
