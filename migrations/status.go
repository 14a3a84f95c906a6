package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"path"
	"time"

	"github.com/pressly/goose/v3"
)

// State is how far a database is.
type State struct {
	Migrations    []Migration `json:"migrations"`     // in order
	MessagesTable string      `json:"messages_table"` // its name
	Messages      string      `json:"messages"`       // missing, present, or foreign: there, but not Landfall's
}

// Migration is one numbered file.
type Migration struct {
	Version   int64      `json:"version"`
	File      string     `json:"file"`
	AppliedAt *time.Time `json:"applied_at"` // nil: not yet
}

// Current tells whether there is nothing left for Up to do.
func (s State) Current() bool {
	for _, m := range s.Migrations {
		if m.AppliedAt == nil {
			return false
		}
	}
	return s.Messages == string(tablePresent)
}

// Status looks at the database without changing anything or waiting for a
// lock. Its errors are like those of Up.
func Status(ctx context.Context, url string, o Options) (State, error) {
	t, err := parseTable(o.MessagesTable)
	if err != nil {
		return State{}, err
	}
	db, err := open(url)
	if err != nil {
		return State{}, err
	}
	defer db.Close()
	s, err := status(ctx, db, t)
	if err != nil {
		return State{}, fmt.Errorf("migration status: %w", diagnose(ctx, db, t, err))
	}
	return s, nil
}

func status(ctx context.Context, db *sql.DB, t table) (State, error) {
	found, err := t.look(ctx, db)
	if err != nil {
		return State{}, err
	}
	s := State{MessagesTable: t.String(), Messages: string(found)}
	p, err := provider(db)
	if err != nil {
		return State{}, err
	}
	// goose would create its table if it were not there.
	var recorded bool
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_tables
		WHERE schemaname || '.' || tablename = $1)`, versionTable).Scan(&recorded)
	if err != nil {
		return State{}, err
	}
	if !recorded {
		for _, source := range p.ListSources() {
			s.Migrations = append(s.Migrations, Migration{Version: source.Version, File: path.Base(source.Path)})
		}
		return s, nil
	}
	all, err := p.Status(ctx)
	if err != nil {
		return State{}, err
	}
	for _, m := range all {
		one := Migration{Version: m.Source.Version, File: path.Base(m.Source.Path)}
		if m.State == goose.StateApplied {
			one.AppliedAt = &m.AppliedAt
		}
		s.Migrations = append(s.Migrations, one)
	}
	return s, nil
}
