package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"landfall/cluster"
	"landfall/mapping"
	"landfall/message"
)

// A message of a stream with a table of the user's own is encoded before it is
// known which statement will store it. So its fields stay apart:
//
//	length of the rest   uint32
//	number of the plan   uint32
//	what it is           byte
//	for a row or a delete, for each column:
//	    length           uint32, or absent, or null
//	    text             as COPY's text form wants it
//	for a refusal: the column, NUL, the reason
//
// All numbers are big-endian.
type ownKind byte

const (
	ownRow ownKind = iota
	ownDelete
	ownRefused
)

const (
	fieldNull   = 1<<32 - 1
	fieldAbsent = 1<<32 - 2
)

// ownEncoder makes records. It is for one goroutine.
type ownEncoder struct {
	plan   *ownPlan
	rows   *mapping.Mapping
	keys   *mapping.Mapping // of a delete
	values []mapping.Value
}

func newOwnEncoder(p *ownPlan) (*ownEncoder, error) {
	rows, err := p.mapping()
	if err != nil {
		return nil, &message.SetupError{Reason: "columns of " + p.table.Sanitize(), Advice: "correct them in cluster.yaml", Err: err}
	}
	return &ownEncoder{plan: p, rows: rows, keys: rows.Only(p.keyNames()...)}, nil
}

// encode appends the message's record.
func (e *ownEncoder) encode(dst []byte, m *message.Message) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, e.plan.number)
	row, err := e.encodeRow(dst, m)
	if err != nil {
		row = append(dst, byte(ownRefused))
		if refused := (*mapping.Error)(nil); errors.As(err, &refused) {
			row = append(append(row, refused.Column...), 0)
			row = append(row, refused.Reason...)
		} else {
			row = append(append(row, 0), err.Error()...)
		}
	}
	binary.BigEndian.PutUint32(row[start:], uint32(len(row)-start-4))
	return row
}

func (e *ownEncoder) encodeRow(dst []byte, m *message.Message) ([]byte, error) {
	kind, from := ownRow, e.rows
	if op := m.Header[message.OpHeader]; len(op) > 0 {
		if op[0] != message.OpDelete || e.plan.mode != cluster.Upsert {
			return nil, fmt.Errorf("header %s: %q: only delete is known, under mode upsert", message.OpHeader, readable(op[0]))
		}
		kind, from = ownDelete, e.keys
	}
	var err error
	if e.values, err = from.Row(e.values[:0], mappingMessage(m)); err != nil {
		return nil, err
	}
	dst = append(dst, byte(kind))
	values := e.values
	for i := range e.plan.columns {
		v := mapping.Value{}
		if kind == ownRow || e.plan.isKey(i) {
			v, values = values[0], values[1:]
		}
		if e.plan.isKey(i) && v.State != mapping.Present {
			return nil, &mapping.Error{Column: e.plan.columns[i].Name, Reason: e.plan.columns[i].Source.String() + ": missing or null, where the key is due"}
		}
		dst = appendOwnField(dst, v)
	}
	return dst, nil
}

// mappingMessage is the message as the mapping reads it.
func mappingMessage(m *message.Message) mapping.Message {
	return mapping.Message{Seq: m.Seq, ID: m.ID(), Subject: m.Subject, Published: m.Time, Header: m.Header, Body: m.Data}
}

func appendOwnField(dst []byte, v mapping.Value) []byte {
	switch v.State {
	case mapping.Absent:
		return binary.BigEndian.AppendUint32(dst, fieldAbsent)
	case mapping.Null:
		return binary.BigEndian.AppendUint32(dst, fieldNull)
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendCopyText(dst, v.Text)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendCopyText escapes a text for COPY's text form.
// https://www.postgresql.org/docs/current/sql-copy.html ("Text Format")
func appendCopyText(dst, text []byte) []byte {
	for {
		at := bytes.IndexAny(text, "\\\t\n\r")
		if at < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:at]...)
		switch text[at] {
		case '\\':
			dst = append(dst, '\\', '\\')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		}
		text = text[at+1:]
	}
}

// ownRecord is a message's record, taken apart. It points into the batch.
type ownRecord struct {
	kind   ownKind
	plan   uint32
	fields []ownField // of a row or a delete, one for each column
	column string     // of a refusal; "" if it is about the document
	reason string
}

type ownField struct {
	absent, null bool
	text         []byte
}

// next takes the first record apart and returns the rest of the rows. fields
// is memory to use.
func nextRecord(rows []byte, fields []ownField) (r ownRecord, rest []byte) {
	size := binary.BigEndian.Uint32(rows)
	body, rest := rows[4:4+size], rows[4+size:]
	r = ownRecord{plan: binary.BigEndian.Uint32(body), kind: ownKind(body[4]), fields: fields[:0]}
	body = body[5:]
	if r.kind == ownRefused {
		column, reason, _ := bytes.Cut(body, []byte{0})
		r.column, r.reason = string(column), string(reason)
		return r, rest
	}
	for len(body) > 0 {
		n := binary.BigEndian.Uint32(body)
		body = body[4:]
		f := ownField{absent: n == fieldAbsent, null: n == fieldNull}
		if !f.absent && !f.null {
			f.text, body = body[:n], body[n:]
		}
		r.fields = append(r.fields, f)
	}
	return r, rest
}
