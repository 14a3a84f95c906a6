package store

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"landfall/message"
)

// streakLimit is how many messages in a row may fail alike before it is
// taken for the set-up (a missing partition, a trigger, a wrong column)
// instead of the data. See onlyData for failures that never are.
const streakLimit = 20

// streak counts messages that failed alike one after the other, across
// batches. A message that could be stored ends it.
type streak struct {
	what  failure
	count int
}

// failure is what makes two failures alike: the texts differ with the values.
type failure struct {
	code, table, column, constraint string
}

func failureOf(e *pgconn.PgError) failure {
	return failure{e.Code, e.TableName, e.ColumnName, e.ConstraintName}
}

// bad counts a failed message and tells whether the streak is at its limit.
// There it stays one short, so that after a pause the next failure of the
// same kind pauses again instead of giving up another nineteen messages.
func (s *streak) bad(f failure) (limit bool) {
	if f != s.what {
		*s = streak{what: f}
	}
	s.count++
	if s.count >= streakLimit {
		s.count = streakLimit - 1
		return true
	}
	return false
}

// good ends the streak.
func (s *streak) good() { *s = streak{} }

// tooMany counts a bad message, and tells whether so many before it failed
// alike that it must be the set-up, unless somebody has said that it is the
// data.
func (c *careful) tooMany(m *message.Message, f failure) bool {
	if m.Seq <= uint64(max(c.accepted, 0)) {
		c.streak.good()
		return false
	}
	if !c.streak.bad(f) {
		return false
	}
	c.Stream.streak = c.streak // the one thing that outlives the rollback
	return true
}

// alike is the error then. m is the last of those messages, and refused what
// was said of it.
func (c *careful) alike(m *message.Message, look string, refused error) error {
	return &message.SetupError{
		Reason: fmt.Sprintf("%d messages in a row or more fail alike, the last at sequence %d", streakLimit, m.Seq),
		Advice: fmt.Sprintf("so it is hardly the data: %s; if it is the data, app dead-letters accept %s makes dead letters of them", look, c.name),
		Err:    refused,
		Alike:  true,
	}
}
