package cli

import (
	"fmt"

	"landfall/cluster"
	"landfall/message"
)

// letterHint says what to do about a dead letter, by the class of its reason
// and by what a retry does. t is the stream's own table, nil if it has none.
func letterHint(l *message.DeadLetter, t *cluster.Table) string {
	name := fmt.Sprintf("%s/%d", l.Stream, l.Message.Seq)
	edit := "app dead-letters edit " + name + " --body FILE"
	switch l.SQLState {
	case "23503":
		return "a row that it refers to is missing: insert that row, then " + retryOf(name, t)
	case "23505":
		if t == nil {
			return "its message id, or another unique value, has a row already: if that says the same, discard this; " +
				"if both are meant, app dead-letters export and then publish give it an id of its own"
		}
		return "a unique index has a row with its values already: if that row says the same, discard it; else mend one of the two: " + edit
	case "23P01":
		return "it overlaps a row that is there: mend that row, or this message: " + edit
	case "23514":
		return "it breaks a check of the table: mend the message with " + edit + ", or change the check and " + retryOf(name, t)
	case "23502":
		return "a column that must not be empty gets no value: mend the message with " + edit + ", or give the column a DEFAULT (it serves where the field is absent, not where it is null), and " + retryOf(name, t)
	case "22P02", "22003", "22007", "22008", "22023", "42804":
		return "a value is none of its column's type: mend it with " + edit + ", or change the column and " + retryOf(name, t)
	case "22001":
		return "a value is too long: shorten it with " + edit + ", or make the column longer and " + retryOf(name, t)
	case "22021", "22P05":
		return "its text holds what Postgres cannot (a NUL, or no UTF-8): take it out with " + edit
	case "54000":
		return "a value, its message id perhaps, is too large for an index: app dead-letters export and then publish give it another id; mend a value with " + edit + ", or drop the index and " + retryOf(name, t)
	case "P0001", "P0000", "P0004":
		return "a trigger of the table refuses it: do what its words say, then " + retryOf(name, t)
	case "":
		if t == nil {
			return "it cannot be a row as it is: mend it with " + edit
		}
		return "the document does not fit the columns: mend it with " + edit + ", or correct columns in cluster.yaml, restart the nodes, and " + retryOf(name, t)
	}
	return "mend the cause and " + retryOf(name, t) + ", or mend the message with " + edit
}

// retryOf says how to retry, and what comes of it.
func retryOf(name string, t *cluster.Table) string {
	retry := "app dead-letters retry " + name
	switch {
	case t == nil || t.Mode == cluster.Append:
		return retry + " (it becomes a row in its own place)"
	case t.Mode == cluster.KeepFirst:
		return retry + " (it becomes a row if its key has none by then)"
	}
	return retry + " (it is published again, and overwrites the row of its key: compare them first)"
}
