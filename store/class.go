package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"landfall/message"
)

// class is whose fault an error is: that decides whether the sink waits,
// pauses, or sets a message aside.
type class int

const (
	outage class = iota // Postgres or the way to it: wait and try again
	setup               // schema, rights, configuration: pause and say so
	data                // a row: a dead letter
)

const (
	uniqueViolation   = "23505"
	queryCanceled     = "57014"
	lockNotAvailable  = "55P03"
	insufficientRight = "42501"
	checkViolation    = "23514"
	readOnly          = "25006"
	programLimit      = "54000" // too long for an index, among others
)

// classify judges by SQLSTATE alone; texts are translated and change. An
// error without one comes from the network or from a context, never from the
// data: rows are encoded by our own code, which cannot fail.
func classify(err error) class {
	var set *message.SetupError
	if errors.As(err, &set) {
		return setup // known already, whatever Postgres said
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) < 2 {
		return outage
	}
	switch pg.Code {
	case "XX001", "XX002": // corrupted data, corrupted index
		return outage
	}
	switch c := pg.Code[:2]; {
	case slices.Contains(outageClasses(), c):
		return outage
	case slices.Contains(setupClasses(), c):
		return setup
	}
	return data
}

func outageClasses() []string {
	return []string{
		"08", // connection
		"25", // transaction state: read-only (25006) after a failover, idle timeout
		"40", // serialization, deadlock
		"53", // disk full, memory, too many connections
		"55", // lock timeout, object in use
		"57", // shutdown, crash, cancelled
		"58", // I/O
	}
}

func setupClasses() []string {
	return []string{
		"28", // authorization
		"3D", // no such database
		"3F", // no such schema
		"42", // no such table or column, no right
		"0A", // not supported
	}
}

// blameless are the classes in which no row is to blame.
func blameless() []string { return slices.Concat(outageClasses(), setupClasses()) }

// onlyData tells SQLSTATEs that nothing but a message's own bytes can cause:
// text that is no UTF-8 or holds a NUL. However many come in a row, no change
// of the set-up would let them in.
func onlyData(code string) bool {
	switch code {
	case "22021", "22P05":
		return true
	}
	return false
}

// explain turns an error of a statement into what the sink acts upon: a
// *message.SetupError, message.ErrTooSlow, or the error itself, an outage.
func explain(doing string, err error) error {
	var pg *pgconn.PgError
	var set *message.SetupError
	if !errors.As(err, &set) && errors.As(err, &pg) {
		switch {
		case pg.Code == queryCanceled:
			return fmt.Errorf("%s: %w: %w", doing, message.ErrTooSlow, err)
		case classify(err) == setup:
			return &message.SetupError{Reason: doing, Advice: advice(pg), Err: err}
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// advice says which key or grant to change.
func advice(pg *pgconn.PgError) string {
	switch {
	case pg.Code == insufficientRight:
		return "grant the role in postgres.url the missing right: it needs USAGE on schema landfall, SELECT, INSERT and UPDATE on its tables, DELETE on landfall.marks and landfall.batches, SELECT and INSERT on the messages table, DELETE too where keep is set, TEMPORARY on the database"
	case pg.Code[:2] == "28":
		return "check user and password in postgres.url"
	case pg.Code[:2] == "3D":
		return "create the database, or correct its name in postgres.url"
	case pg.Code == "42P01" || pg.Code == "3F000":
		return "run `app migrate up`, or remove `migrate: off`, or correct messages_table"
	case pg.Code[:2] == "42":
		return "the table is not as Landfall's migrations left it: undo the change, or name another one in messages_table"
	}
	return ""
}
