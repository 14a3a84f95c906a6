package store

import (
	"bytes"
	"context"
	"fmt"

	"landfall/cluster"
	"landfall/message"
)

// ownShapes is how many COPYs a batch is worth, one for each set of columns
// that its rows have a field for. Beyond it the rows are staged.
const ownShapes = 4

// refusal is why a message is no row.
type refusal struct {
	code, reason string
	failure      failure
}

// ownShape are rows that have a field for the same columns.
type ownShape struct {
	columns []int
	lines   []byte // of COPY
	rows    int64
}

// load goes through the batch's records: it makes those anew that are of an
// older plan, notes the refused ones, and sorts the others by shape.
func (w *ownWrite) load(b *message.Batch) error {
	w.refused, w.repeated = map[int]refusal{}, map[int]int64{}
	// COPY knows nothing of conflicts and policies, and takes no views.
	w.staged = w.plan.mode != cluster.Append || w.plan.traits.Secured || w.plan.traits.View
	var anew *ownEncoder
	var fields []ownField
	rest := b.Rows
	for i := range b.Messages {
		var r ownRecord
		from := rest
		r, rest = nextRecord(rest, fields)
		record := from[:len(from)-len(rest)]
		if r.plan != w.plan.number {
			if anew == nil {
				var err error
				if anew, err = newOwnEncoder(w.plan); err != nil {
					return err
				}
			}
			record = anew.encode(nil, &b.Messages[i])
			r, _ = nextRecord(record, fields)
		}
		fields = r.fields
		w.rows = append(w.rows, record...)
		w.deletes = w.deletes || r.kind == ownDelete
		if r.kind == ownRefused {
			w.refused[i] = refusal{reason: r.reason, failure: failure{code: "mapping", column: r.column}}
		} else if !w.staged {
			w.sort(r.fields)
		}
	}
	return nil
}

// sort adds a row to those of its shape.
func (w *ownWrite) sort(fields []ownField) {
	var shape *ownShape
	for _, s := range w.shapes {
		if s.fits(w.plan, fields) {
			shape = s
			break
		}
	}
	if shape == nil {
		if len(w.shapes) == ownShapes {
			w.staged, w.shapes = true, nil
			return
		}
		shape = &ownShape{}
		for i, f := range fields {
			if !f.absent || w.plan.columns[i].Default == "" {
				shape.columns = append(shape.columns, i)
			}
		}
		w.shapes = append(w.shapes, shape)
	}
	for n, i := range shape.columns {
		if n > 0 {
			shape.lines = append(shape.lines, '\t')
		}
		shape.lines = appendOwnText(shape.lines, fields[i])
	}
	shape.lines = append(shape.lines, '\n')
	shape.rows++
}

// fits tells whether a row has fields for the shape's columns and no other.
func (s *ownShape) fits(p *ownPlan, fields []ownField) bool {
	at := 0
	for i, f := range fields {
		if f.absent && p.columns[i].Default != "" {
			continue
		}
		if at >= len(s.columns) || s.columns[at] != i {
			return false
		}
		at++
	}
	return at == len(s.columns)
}

func appendOwnText(dst []byte, f ownField) []byte {
	if f.absent || f.null {
		return append(dst, `\N`...)
	}
	return append(dst, f.text...)
}

// stage makes the stage and fills it. It returns how many rows it has.
func (w *ownWrite) stage(ctx context.Context, b *message.Batch) (int64, error) {
	if _, err := w.conn.Exec(ctx, w.plan.makeStage()); err != nil {
		return 0, err
	}
	lines := make([]byte, 0, len(w.rows))
	var fields []ownField
	rest := w.rows
	for i := range b.Messages {
		var r ownRecord
		r, rest = nextRecord(rest, fields)
		fields = r.fields
		if r.kind == ownRefused {
			continue
		}
		lines = fmt.Appendf(lines, "%d\t%t", i, r.kind == ownDelete)
		for n, f := range r.fields {
			lines = appendOwnText(append(lines, '\t'), f)
			if w.plan.columns[n].Default != "" {
				lines = fmt.Appendf(lines, "\t%t", f.absent)
			}
		}
		lines = append(lines, '\n')
	}
	tag, err := w.conn.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(lines), "COPY pg_temp."+ownStage+" FROM STDIN")
	return tag.RowsAffected(), err
}
