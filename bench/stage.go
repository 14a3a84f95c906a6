package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"landfall/drill"
	"landfall/pgserver"
)

// upWithin is how long the stage may take to stand.
const upWithin = time.Minute

// stage is what is measured: Postgres and three nodes.
type stage struct {
	dir     string // of the binary
	pg      *pgserver.Server
	cluster *drill.Cluster
	watch   *drill.Watch
	db      *pgxpool.Pool
}

func startStage(ctx context.Context) (_ *stage, err error) {
	s := &stage{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "landfall-bench-"); err != nil {
		return nil, err
	}
	binary, err := drill.BuildBinary(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	if s.pg, err = pgserver.Start(ctx, pgserver.Options{Settings: map[string]string{"max_wal_size": "4GB"}}); err != nil {
		return nil, err
	}
	if s.cluster, err = drill.NewCluster(drill.Options{Binary: binary, DatabaseURL: s.pg.URL(), MaxBytes: "4GiB"}); err != nil {
		return nil, err
	}
	up, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	if err = s.cluster.Up(up); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.cluster.Trouble(5))
	}
	if s.watch, err = drill.NewWatch(ctx, s.pg.URL()); err != nil {
		return nil, err
	}
	if err = s.watch.AwaitCursor(up, drill.Stream, 0, upWithin); err != nil {
		return nil, err
	}
	s.db, err = pgxpool.New(ctx, s.pg.URL())
	return s, err
}

// close takes everything down, in the reverse order.
func (s *stage) close() {
	var errs []error
	if s.db != nil {
		s.db.Close()
	}
	if s.watch != nil {
		s.watch.Close()
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	if s.pg != nil {
		errs = append(errs, s.pg.Stop())
	}
	errs = append(errs, os.RemoveAll(s.dir))
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}
