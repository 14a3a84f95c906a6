package store

import "github.com/jackc/pgx/v5/pgconn"

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
