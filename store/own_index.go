package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"landfall/cluster"
	"landfall/message"
)

// uniqueIndex is an index that tells one row from another by columns alone: no
// expressions, no condition.
type uniqueIndex struct {
	Name      string
	Columns   []string
	Immediate bool // not deferrable, so that ON CONFLICT can go by it
}

// readIndexes reads a table's unique indexes.
func readIndexes(ctx context.Context, conn querier, table pgx.Identifier) ([]uniqueIndex, error) {
	rows, err := conn.Query(ctx, `SELECT c.relname AS name, i.indimmediate AS immediate,
			ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
				JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
				WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
		ORDER BY c.relname`, table.Sanitize())
	if err != nil {
		return nil, fmt.Errorf("read the indexes of %s: %w", table.Sanitize(), err)
	}
	indexes, err := pgx.CollectRows(rows, pgx.RowToStructByName[uniqueIndex])
	if err != nil {
		return nil, fmt.Errorf("read the indexes of %s: %w", table.Sanitize(), err)
	}
	return indexes, nil
}

// checkKey finds the unique index that ON CONFLICT goes by.
func checkKey(t *cluster.Table, indexes []uniqueIndex) error {
	if t.Mode == cluster.Append {
		return nil
	}
	key, found := "("+strings.Join(t.Key, ", ")+")", false
	for _, i := range indexes {
		if !sameSet(i.Columns, t.Key) {
			continue
		}
		if !i.Immediate { // Postgres refuses ON CONFLICT then, also beside another index
			return &message.SetupError{Reason: fmt.Sprintf("the unique constraint %s of %s is deferrable", i.Name, t), Advice: "mode " + string(t.Mode) + " needs one that is not"}
		}
		found = true
	}
	if found {
		return nil
	}
	has := "none"
	if len(indexes) > 0 {
		var all []string
		for _, i := range indexes {
			all = append(all, "("+strings.Join(i.Columns, ", ")+")")
		}
		has = strings.Join(all, ", ")
	}
	return &message.SetupError{
		Reason: fmt.Sprintf("%s has no unique index on %s, which mode %s needs", t, key, t.Mode),
		Advice: "create one, without a condition, or correct key in cluster.yaml; there is " + has,
	}
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// idIndexes are those by which a message that comes again under its id is
// known: on the one column that the id is mapped to.
func idIndexes(columns []ownColumn, indexes []uniqueIndex) []string {
	var names []string
	for _, i := range indexes {
		if len(i.Columns) != 1 {
			continue
		}
		at := slices.IndexFunc(columns, func(c ownColumn) bool { return c.Name == i.Columns[0] })
		if at >= 0 && columns[at].Source.FromID() {
			names = append(names, i.Name)
		}
	}
	return names
}
