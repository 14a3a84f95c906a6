package cluster

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"landfall/mapping"
)

// Mode is how a message changes a table of the user's own.
type Mode string

// What becomes of a message whose key has a row already.
const (
	Append    Mode = "append"     // there are no keys: every message is a row
	Upsert    Mode = "upsert"     // the row is overwritten
	KeepFirst Mode = "keep_first" // the row stays as it is
)

// Table is a table of the user's own that a stream fills. Landfall never
// creates or alters it.
type Table struct {
	Schema, Name string
	Mode         Mode
	Key          []string // columns that a unique index is on; none under Append
	Columns      []Column // in file order; any other column is the JSON field of its name
}

// Column is where the values of one column come from.
type Column struct {
	Name   string
	Source mapping.Source
	Left   bool // alone: no message writes it, and it has no source
}

// String is the table's name as in cluster.yaml.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// MapsID tells whether a column takes the message's id, by which a message that
// comes again could be known.
func (t *Table) MapsID() bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Source.FromID() })
}

// longestIdentifier is Postgres' limit, in bytes (NAMEDATALEN - 1).
const longestIdentifier = 63

// ownTable is the form of a table's name. Each part is the name as Postgres
// has it: nothing is folded to lower case.
var ownTable = regexp.MustCompile(`^([^.\s"]+\.)?[^.\s"]+$`)

const ownTableRule = "must be SCHEMA.TABLE, or TABLE in the schema public, as Postgres has the names: without quotes, in upper or lower case"

// table reads what a stream says of a table of the user's own; nil if it says
// nothing.
func (m mappingField) table() *Table {
	f, ok := m.values["table"]
	if !ok {
		for _, key := range []string{"mode", "key", "columns"} {
			if f, ok := m.values[key]; ok {
				f.problem("is about a table of your own: name it with table, or leave this out and have rows of the messages table")
			}
		}
		return nil
	}
	t := &Table{Mode: Append}
	t.Schema, t.Name = f.ownTable()
	if f, ok := m.values["mode"]; ok {
		t.Mode = f.mode()
	}
	if f, ok := m.values["columns"]; ok {
		t.Columns = f.columns()
	}
	f, keyed := m.values["key"]
	switch {
	case keyed && t.Mode == Append:
		f.problem("has no meaning under mode: append, where every message is a row; with a key it is upsert or keep_first")
	case keyed:
		t.Key = f.keyColumns()
		for _, c := range t.Columns {
			if c.Left && slices.Contains(t.Key, c.Name) {
				f.problem("column %s is of the key, and so cannot be none", c.Name)
			}
		}
	case t.Mode != Append:
		m.problem("mode: %s needs the columns of a unique index; write for example key: [id]", t.Mode)
	}
	return t
}

func (f field) ownTable() (schema, name string) {
	t, ok := f.text()
	if !ok {
		return "", ""
	}
	if !ownTable.MatchString(t.value) {
		f.problem("%s %s", t.shown, ownTableRule)
		return "", ""
	}
	schema, name, qualified := strings.Cut(t.value, ".")
	if !qualified {
		schema, name = "public", t.value
	}
	if len(schema) > longestIdentifier || len(name) > longestIdentifier {
		f.problem("%s: Postgres' names have at most %d bytes", t.shown, longestIdentifier)
	}
	return schema, name
}

func modes() []string { return []string{string(Append), string(Upsert), string(KeepFirst)} }

func (f field) mode() Mode {
	t, ok := f.text()
	if ok && !slices.Contains(modes(), t.value) {
		f.problem("%s must be append, upsert or keep_first", t.shown)
		return Append
	}
	return Mode(t.value)
}

func (f field) keyColumns() []string {
	items, ok := f.list("[id]")
	if ok && len(items) == 0 {
		f.problem("needs at least one column")
	}
	var key []string
	for _, item := range items {
		t, ok := item.text()
		switch {
		case !ok:
		case slices.Contains(key, t.value):
			item.problem("%s is named twice", t.shown)
		default:
			item.checkColumn(t.value)
			key = append(key, t.value)
		}
	}
	return key
}

func (f field) columns() []Column {
	m, ok := f.mapping()
	if !ok {
		return nil
	}
	var columns []Column
	for _, name := range m.names {
		v := m.values[name]
		v.checkColumn(name)
		t, ok := v.text()
		if !ok {
			continue
		}
		if t.value == leftAlone {
			columns = append(columns, Column{Name: name, Left: true})
			continue
		}
		source, err := mapping.ParseSource(t.value)
		if err != nil {
			v.problem("%v", err)
		}
		columns = append(columns, Column{Name: name, Source: source})
	}
	return columns
}

// leftAlone is what stands for a column that no message writes.
const leftAlone = "none"

// checkColumn says what is wrong with a column's name, if anything.
func (f field) checkColumn(name string) {
	if name == "" || len(name) > longestIdentifier || strings.ContainsRune(name, 0) {
		f.problem("a column's name has 1 to %d bytes", longestIdentifier)
	}
}

// forever is how long rows are kept that nothing is said of.
const forever = "forever"

// keep reads how long rows of the messages table stay; 0 is for ever.
func (f field) keep() time.Duration {
	if t, ok := f.scalar(); ok && t.value == forever {
		return 0
	}
	return f.duration(minKeep, maxDuration)
}

// outlasts refuses a keep under which rows would have to go before their
// messages do: what a stream that was made anew, or that lost its tail, has in
// common with Postgres is found out by the rows.
func (f field) outlasts(keep time.Duration, streams []Stream) {
	if keep == 0 {
		return
	}
	for _, s := range streams {
		if s.Table == nil && keep < s.ReplayWindow {
			f.problem("is shorter than the replay_window of stream %s, %s: a row stays at least as long as its message stays in the stream; keep rows longer, or set streams.%s.replay_window to no more than %s",
				s.Name, shortDuration(s.ReplayWindow), s.Name, shortDuration(keep))
		}
	}
}
