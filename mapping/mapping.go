// Package mapping turns messages into rows of a user's own table. What stands
// in cluster.yaml for a column is parsed once, into a Source; then each
// message is read once, and every column gets the text that Postgres' own
// input function for its type will read. So types stay Postgres' matter: a
// string's content and a number's digits are handed on as they are, and no
// number is ever parsed here. The room is pure: no SQL, no files, no clock,
// and nothing of ours. What Postgres could not hold as text whatever the type
// (NUL, lone surrogates, invalid UTF-8) is refused here, because over there it
// would fail the whole batch.
package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Column is a column of the table and where its values come from.
type Column struct {
	Name   string
	Source Source
	Kind   Kind
	Type   string // as Postgres prints it, for the reasons of refusals only; may be ""
}

// Message is what a mapping reads of a message. Nothing of it is written to.
type Message struct {
	Seq       uint64 // position in the stream, from 1
	ID        string // "" if its producer gave it none
	Subject   string
	Published time.Time
	Header    map[string][]string
	Body      []byte
}

// State tells what a Value is.
type State uint8

// A column without a value is not the same as one with NULL: it takes the
// column's DEFAULT.
const (
	Absent State = iota // the message has no such field
	Null                // JSON null
	Present
)

// Value is what a message has for a column.
type Value struct {
	State State
	Text  []byte // if Present: valid UTF-8 without NUL, for the type's input function
}

// Mapping is a table's columns, ready to read messages. It keeps its buffers
// from row to row, and so is not safe for concurrent use: each goroutine makes
// its own.
type Mapping struct {
	columns []Column
	slots   []int // of each column: where the pass leaves its JSON; -1: not from the body
	wanted  *node // nil if no column takes anything from the body

	dec     jsontext.Decoder
	input   bytes.Buffer
	options []jsontext.Options
	raw     [][]byte // JSON found at each slot, in the body itself; nil: none
	name    []byte   // the object name at hand, unquoted
	arena   []byte   // texts of the row that are not in the body as they are
	element []byte   // text of the array's element, or of the envelope's part, at hand
}

// New makes a mapping of the columns, in their order. It fails where no
// message could ever fit: a name given twice or none, a column without a
// source, message.seq for a time.
func New(columns []Column) (*Mapping, error) {
	var errs []error
	seen := make(map[string]bool, len(columns))
	for _, c := range columns {
		if c.Name == "" {
			errs = append(errs, errors.New("a column without a name"))
		} else if seen[c.Name] {
			errs = append(errs, fmt.Errorf("column %s: named twice", quote(c.Name)))
		}
		seen[c.Name] = true
		if err := c.check(); err != nil {
			errs = append(errs, fmt.Errorf("column %s: %w", quote(c.Name), err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return build(slices.Clone(columns)), nil
}

// check tells why no message could fill the column.
func (c *Column) check() error {
	switch {
	case c.Source.from == nowhere:
		return errors.New("it has no source")
	case c.Kind.elem() > Time:
		return fmt.Errorf("kind %d is none", c.Kind)
	case c.Source.from == fromSeq && (c.Kind.isArray() || c.Kind == Bytes || c.Kind == Time):
		return fmt.Errorf("%s is a number, where %s is due", c.Source, c.due())
	}
	return nil
}

func build(columns []Column) *Mapping {
	m := &Mapping{
		columns: columns,
		slots:   make([]int, len(columns)),
		// As in jsonb, the last of several members of one name counts. Invalid
		// UTF-8 and lone surrogates stay refused, wherever they stand.
		options: []jsontext.Options{jsontext.AllowDuplicateNames(true)},
	}
	root := &node{}
	nodes := make([]*node, len(columns))
	for i, c := range columns {
		if c.Source.from == fromBody {
			nodes[i] = root.grow(c.Source.path)
			m.wanted = root
		}
	}
	// Without a column from the body the root is a node that nobody reads.
	m.raw = make([][]byte, root.number(0))
	for i, n := range nodes {
		m.slots[i] = -1
		if n != nil {
			m.slots[i] = n.slot
		}
	}
	return m
}

// Columns are the mapping's columns, in the order of a row's values.
func (m *Mapping) Columns() []Column { return slices.Clone(m.columns) }

// Only is a mapping of the named columns alone, in this one's order: a delete
// needs no more of a message than its key. Names that are no columns are left
// out.
func (m *Mapping) Only(names ...string) *Mapping {
	var columns []Column
	for _, c := range m.columns {
		if slices.Contains(names, c.Name) {
			columns = append(columns, c)
		}
	}
	return build(columns)
}

// Row appends the message's values to dst, one for each column and in their
// order. Their texts point into the message's body and the mapping's own
// memory: they hold until the next call, and as long as the body is left
// alone. A field is absent where the document ends before it: where something
// on the way to it is missing, null, or of another shape (a member of a
// number, an element of an object). Only the document itself has to be what
// the paths begin with.
//
// The error, always an *Error, says why the message cannot be a row; dst is
// then as it was. The whole body is read, also where no column wants it, so a
// fault in any of it refuses the message (an escaped NUL only where a column
// takes it: it is proper JSON); a body that no column takes anything from is
// not looked at.
func (m *Mapping) Row(dst []Value, msg Message) ([]Value, error) {
	m.arena = m.arena[:0]
	if m.wanted != nil {
		if err := m.read(msg.Body); err != nil {
			return dst, &Error{Reason: err.Error()}
		}
	}
	row := dst
	for i := range m.columns {
		c := &m.columns[i]
		var v Value
		var err error
		if slot := m.slots[i]; slot >= 0 {
			v, err = m.fromJSON(c, m.raw[slot])
		} else {
			v, err = m.fromEnvelope(c, &msg)
		}
		if err != nil {
			return dst, &Error{Column: c.Name, Reason: err.Error()}
		}
		row = append(row, v)
	}
	return row, nil
}
