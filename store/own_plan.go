package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"landfall/cluster"
	"landfall/mapping"
)

// ownPlan is how messages become rows of a table of the user's own: its
// columns as they were when they were last read, and the statements for them.
// It does not change; where the table has, there is another plan.
type ownPlan struct {
	number  uint32 // of the plan, from 1: encoded rows name the one they were made for
	table   pgx.Identifier
	mode    cluster.Mode
	columns []ownColumn
	key     []int    // columns
	ids     []string // unique indexes on the column that holds message ids
}

func newOwnPlan(number uint32, t *cluster.Table, columns []ownColumn, ids []string) *ownPlan {
	p := &ownPlan{number: number, table: pgx.Identifier{t.Schema, t.Name}, mode: t.Mode, columns: columns, ids: ids}
	for _, name := range t.Key {
		p.key = append(p.key, slices.IndexFunc(columns, func(c ownColumn) bool { return c.Name == name }))
	}
	return p
}

// mapping is a new one: each goroutine needs its own.
func (p *ownPlan) mapping() (*mapping.Mapping, error) {
	columns := make([]mapping.Column, len(p.columns))
	for i, c := range p.columns {
		columns[i] = c.Column
	}
	return mapping.New(columns)
}

// keyNames are the key's columns.
func (p *ownPlan) keyNames() []string {
	names := make([]string, len(p.key))
	for i, at := range p.key {
		names[i] = p.columns[at].Name
	}
	return names
}

// isKey tells whether a column is one of the key's.
func (p *ownPlan) isKey(column int) bool { return slices.Contains(p.key, column) }

// copyInto is the COPY of rows that have a field for each of the columns.
func (p *ownPlan) copyInto(columns []int) string {
	names := make([]string, len(columns))
	for i, at := range columns {
		names[i] = quoted(p.columns[at].Name)
	}
	return "COPY " + p.table.Sanitize() + " (" + strings.Join(names, ", ") + ") FROM STDIN"
}

// ownStage is the temporary table that rows are stored from, a range of them
// in one statement: their texts, which of the columns that have a DEFAULT they
// have no field for, whether they are deletes, and their places in the batch.
const ownStage = "landfall_rows"

// makeStage makes the stage, for the rest of the transaction.
func (p *ownPlan) makeStage() string {
	var b strings.Builder
	b.WriteString("CREATE TEMPORARY TABLE " + ownStage + " (place integer, gone boolean")
	for i, c := range p.columns {
		fmt.Fprintf(&b, ", c%d text", i)
		if c.Default != "" {
			fmt.Fprintf(&b, ", d%d boolean", i)
		}
	}
	b.WriteString(") ON COMMIT DROP")
	return b.String()
}

// value is the expression for a column of a staged row: Postgres reads the
// text as the type's. The cast has no length or precision: those come with the
// assignment, which refuses what the cast would cut off.
func (p *ownPlan) value(i int) string {
	c := &p.columns[i]
	v := fmt.Sprintf("s.c%d::%s", i, c.Cast)
	if c.Default != "" {
		v = fmt.Sprintf("CASE WHEN s.d%d THEN %s ELSE %s END", i, c.Default, v)
	}
	return v
}

// store stores the staged rows from place $1 to $2 (as they are written in
// lo and hi), as if one after the other: of several with the same key upsert
// takes the last, and keep_first the first.
func (p *ownPlan) store(lo, hi string) string {
	names, values := make([]string, len(p.columns)), make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i], values[i] = quoted(c.Name), p.value(i)+" AS "+quoted(c.Name)
	}
	list := strings.Join(names, ", ")
	into := "INSERT INTO " + p.table.Sanitize() + " AS t (" + list + ")"
	from := " FROM pg_temp." + ownStage + " AS s WHERE s.place BETWEEN " + lo + " AND " + hi
	if p.mode == cluster.Append {
		return into + " SELECT " + strings.Join(values, ", ") + from + " ORDER BY s.place"
	}
	key := make([]string, len(p.key))
	for i, at := range p.key {
		key[i] = quoted(p.columns[at].Name)
	}
	keys := strings.Join(key, ", ")
	order, conflict := " DESC", " DO UPDATE SET ("+list+") = ROW ("+excluded(names)+")"
	if p.mode == cluster.KeepFirst {
		order, conflict = "", " DO NOTHING"
	}
	rows := "WITH rows AS (SELECT " + strings.Join(values, ", ") + ", s.place AS landfall_place, s.gone AS landfall_gone" + from + ")" +
		", kept AS (SELECT DISTINCT ON (" + keys + ") * FROM rows ORDER BY " + keys + ", landfall_place" + order + ")"
	if p.mode == cluster.Upsert {
		rows += ", deleted AS (DELETE FROM " + p.table.Sanitize() + " AS t USING kept WHERE kept.landfall_gone AND " + equal(key) + ")"
	}
	return rows + " " + into + " SELECT " + list + " FROM kept WHERE NOT landfall_gone ORDER BY landfall_place ON CONFLICT (" + keys + ")" + conflict
}

func excluded(names []string) string {
	values := make([]string, len(names))
	for i, n := range names {
		values[i] = "EXCLUDED." + n
	}
	return strings.Join(values, ", ")
}

func equal(key []string) string {
	same := make([]string, len(key))
	for i, k := range key {
		same[i] = "t." + k + " = kept." + k
	}
	return strings.Join(same, " AND ")
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal is a text as SQL writes it.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
