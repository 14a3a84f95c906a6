package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"landfall/cluster"
	"landfall/message"
	"landfall/migrations"
	"landfall/node"
	"landfall/sink"
	"landfall/store"
)

// source is a node's source as the sink wants it.
type source struct{ *node.Source }

func (s source) Open(ctx context.Context, from uint64) (sink.Pull, error) {
	return s.Source.Open(ctx, from)
}

// readBack reads single messages for the door, from the streams' leaders.
func readBack(sources map[string]*node.Source) func(context.Context, string, uint64) (message.Message, bool, error) {
	return func(ctx context.Context, stream string, seq uint64) (message.Message, bool, error) {
		s, ok := sources[stream]
		if !ok {
			return message.Message{}, false, fmt.Errorf("stream %s is not in cluster.yaml", stream)
		}
		m, found, err := s.Nearest(ctx, seq)
		return m, found && m.Seq == seq, err
	}
}

// readRange reads runs of messages for the door, from any replica.
func readRange(sources map[string]*node.Source) func(context.Context, string, uint64, uint64) ([]message.Message, error) {
	return func(ctx context.Context, stream string, first, last uint64) ([]message.Message, error) {
		s, ok := sources[stream]
		if !ok {
			return nil, fmt.Errorf("stream %s is not in cluster.yaml", stream)
		}
		return s.Range(ctx, first, last)
	}
}

// stored is a stream's store behind its schema.
type stored struct {
	*store.Stream
	*schema
}

var (
	_ sink.Source = source{}
	_ sink.Store  = stored{}
)

// Find reads the cursor, and Read does so without waiting for anybody.
func (s stored) Find(ctx context.Context, incarnation string) (message.Cursor, bool, error) {
	cur, found, err := s.Stream.Find(ctx, incarnation)
	s.doubt(err)
	return cur, found, err
}

func (s stored) Read(ctx context.Context, cur message.Cursor) (uint64, error) {
	at, err := s.Stream.Read(ctx, cur)
	s.doubt(err)
	return at, err
}

// schema sees to the tables, once, when Postgres is there for the first time,
// and again when the cursor cannot be read. All sinks of a process share one.
type schema struct {
	config *cluster.Config
	log    *slog.Logger

	mu   sync.Mutex // held while migrating: the others wait for the outcome
	done bool
}

// Prepare runs the migrations unless that has succeeded before, or is turned
// off; then whatever is missing shows at the first statement that needs it.
func (s *schema) Prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || !s.config.Postgres.Migrate {
		return nil
	}
	err := migrations.Up(ctx, s.config.Postgres.MigrationURL(), migrations.Options{MessagesTable: s.config.MessagesTable, Log: s.log})
	var setup *migrations.SetupError
	if errors.As(err, &setup) {
		return &message.SetupError{Reason: "prepare the tables: " + setup.Problem, Advice: setup.Hint}
	}
	if err != nil {
		return fmt.Errorf("prepare the tables: %w", err)
	}
	s.done = true
	return nil
}

// doubt has the tables seen to again if not even the cursor could be read: a
// Postgres put back to before Landfall's first start has none.
func (s *schema) doubt(err error) {
	var setup *message.SetupError
	if !errors.As(err, &setup) {
		return
	}
	s.mu.Lock()
	s.done = false
	s.mu.Unlock()
}
