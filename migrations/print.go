package migrations

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/pressly/goose/v3"
)

// Print writes the SQL that Up would run on an empty database, as one script
// for psql: for administrators who run such things themselves. It records what
// it does, so that Up afterwards finds nothing left to do. messagesTable is as
// in Options.
func Print(w io.Writer, messagesTable string) error {
	t, err := parseTable(messagesTable)
	if err != nil {
		return err
	}
	messages, err := t.sql()
	if err != nil {
		return err
	}
	files, err := fs.Glob(numbered, "sql/*.sql") // in the order of their names
	if err != nil {
		return fmt.Errorf("embedded migrations: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `-- Landfall's tables, for an empty database. Run with:
-- psql --set ON_ERROR_STOP=1 --file THIS URL
BEGIN;

-- Nodes that start meanwhile wait.
SELECT pg_advisory_xact_lock(%d);

CREATE SCHEMA IF NOT EXISTS landfall;

%s`, lockKey, bootstrapSQL)
	for _, file := range files {
		text, err := fs.ReadFile(numbered, file)
		if err != nil {
			return fmt.Errorf("embedded migrations: %w", err)
		}
		version, err := goose.NumericComponent(path.Base(file))
		if err != nil {
			return fmt.Errorf("embedded migrations: %w", err)
		}
		fmt.Fprintf(&b, "\n-- %s\n%s\nINSERT INTO %s (version_id, is_applied) VALUES (%d, true);\n",
			path.Base(file), withoutAnnotations(string(text)), versionTable, version)
	}
	fmt.Fprintf(&b, "\n-- %s\n%s\nCOMMIT;\n", "messages.sql", messages)
	_, err = io.WriteString(w, b.String())
	return err
}

// withoutAnnotations drops the lines that speak to goose.
func withoutAnnotations(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "-- +goose") {
			b.WriteString(line)
		}
	}
	return b.String()
}
