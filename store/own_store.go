package store

import (
	"fmt"
	"strings"

	"landfall/cluster"
)

// fromStage are the staged rows from place lo to place hi.
func fromStage(lo, hi string) string {
	return " FROM pg_temp." + ownStage + " AS s WHERE s.place BETWEEN " + lo + " AND " + hi
}

// store stores rows from the stage, or from what is made like it, as if one
// after the other: of several with the same key upsert takes the last, and
// keep_first the first. deletes tells whether some may be deletes.
func (p *ownPlan) store(from string, deletes bool) string {
	if p.mode == cluster.Append {
		return p.insertInto() + " SELECT " + p.values() + from + " ORDER BY s.place"
	}
	rows := "WITH " + p.kept(from)
	if deletes {
		same := make([]string, len(p.key))
		for i, k := range p.keyColumns() {
			same[i] = "t." + k + " = kept." + k
		}
		rows += ", deleted AS (DELETE FROM " + p.table.Sanitize() + " AS t USING kept WHERE kept.landfall_gone AND " + strings.Join(same, " AND ") + ")"
	}
	return rows + " " + p.insertInto() + " SELECT " + p.names() + " FROM kept WHERE NOT landfall_gone ORDER BY landfall_place" + p.onConflict()
}

// storeOne stores the staged row at a place. It does what store does, and costs
// a third.
func (p *ownPlan) storeOne(at string, deletes bool) string {
	from := " FROM pg_temp." + ownStage + " AS s WHERE s.place = " + at
	insert := p.insertInto() + " SELECT " + p.values() + from
	if !deletes {
		return insert + p.onConflict()
	}
	same := make([]string, len(p.key))
	for i, k := range p.keyColumns() {
		same[i] = "t." + k + " = " + p.value(p.key[i])
	}
	return insert + " AND NOT s.gone" + p.onConflict() + "; DELETE FROM " + p.table.Sanitize() + " AS t USING pg_temp." + ownStage +
		" AS s WHERE s.place = " + at + " AND s.gone AND " + strings.Join(same, " AND ")
}

// kept is the common table expression of the staged rows that are left where
// those with the same key are collapsed.
func (p *ownPlan) kept(from string) string {
	keys, order := strings.Join(p.keyColumns(), ", "), ""
	if p.mode == cluster.Upsert {
		order = " DESC"
	}
	return "rows AS (SELECT " + p.values() + ", s.place AS landfall_place, s.gone AS landfall_gone" + from + ")" +
		", kept AS (SELECT DISTINCT ON (" + keys + ") * FROM rows ORDER BY " + keys + ", landfall_place" + order + ")"
}

func (p *ownPlan) insertInto() string {
	return "INSERT INTO " + p.table.Sanitize() + " AS t (" + p.names() + ")"
}

// onConflict is what becomes of a row whose key has one.
func (p *ownPlan) onConflict() string {
	switch p.mode {
	case cluster.Upsert:
		set := make([]string, len(p.columns))
		for i, c := range p.columns {
			set[i] = "EXCLUDED." + quoted(c.Name)
		}
		return " ON CONFLICT (" + strings.Join(p.keyColumns(), ", ") + ") DO UPDATE SET (" + p.names() + ") = ROW (" + strings.Join(set, ", ") + ")"
	case cluster.KeepFirst:
		return " ON CONFLICT (" + strings.Join(p.keyColumns(), ", ") + ") DO NOTHING"
	}
	return ""
}

// names are the columns, and values what they are made of.
func (p *ownPlan) names() string {
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = quoted(c.Name)
	}
	return strings.Join(names, ", ")
}

func (p *ownPlan) values() string {
	values := make([]string, len(p.columns))
	for i, c := range p.columns {
		values[i] = p.value(i) + " AS " + quoted(c.Name)
	}
	return strings.Join(values, ", ")
}

func (p *ownPlan) keyColumns() []string {
	names := p.keyNames()
	for i := range names {
		names[i] = quoted(names[i])
	}
	return names
}

// repeats finds those staged rows at the places $1 whose id has a row that says
// the same in every column that the message itself fills: where it has no
// field, and in its place and time in the stream, a repeat may differ. With
// each comes the sequence that the row names, 0 if it names none.
func (p *ownPlan) repeats() string {
	var same, id []string
	of := "0"
	for i, c := range p.columns {
		value := fmt.Sprintf("(s.c%d::%s)::%s", i, c.Cast, c.Type)
		equal := fmt.Sprintf("t.%s::text IS NOT DISTINCT FROM (%s)::text", quoted(c.Name), value)
		switch source := c.Source.String(); {
		case c.Source.FromID():
			id = append(id, fmt.Sprintf("t.%s = %s", quoted(c.Name), value))
		case source == "message.seq":
			if c.Type == "bigint" || c.Type == "integer" { // nothing else is sure to be a number
				of = fmt.Sprintf("coalesce(t.%s, 0)", quoted(c.Name))
			}
		case source == "message.published_at":
		case c.Default != "":
			same = append(same, fmt.Sprintf("(s.d%d OR %s)", i, equal))
		default:
			same = append(same, equal)
		}
	}
	return "SELECT s.place, " + of + "::bigint FROM pg_temp." + ownStage + " AS s JOIN " + p.table.Sanitize() + " AS t ON " + strings.Join(id, " AND ") +
		" WHERE s.place = ANY($1::integer[])" + strings.Join(append([]string{""}, same...), " AND ")
}
