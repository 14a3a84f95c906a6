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
	traits  ownTraits
}

func newOwnPlan(number uint32, t *cluster.Table, columns []ownColumn, ids []string, traits ownTraits) *ownPlan {
	p := &ownPlan{number: number, table: pgx.Identifier{t.Schema, t.Name}, mode: t.Mode, columns: columns, ids: ids, traits: traits}
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
// text as the type's, see readColumns for what is left to the assignment.
func (p *ownPlan) value(i int) string {
	c := &p.columns[i]
	v := fmt.Sprintf("s.c%d::%s", i, c.Cast)
	if c.Default != "" {
		v = fmt.Sprintf("CASE WHEN s.d%d THEN %s ELSE %s END", i, c.Default, v)
	}
	return v
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal is a text as SQL writes it.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
