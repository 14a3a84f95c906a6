package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"landfall/message"
)

// ownFew is how many rows are sent as the arrays of one statement. That takes
// a round trip; a stage takes three, and its entries in Postgres' catalog, but
// beyond so many rows COPY has made up for it. Tried with 12 columns: arrays
// of 1, 10, 100 rows are 3 to 7, 2 and 1.5 times as fast, of 1,000 as fast, of
// 5,000 a fifth slower.
const ownFew = 1000

// putArrays stores the batch from arrays.
func (w *ownWrite) putArrays(ctx context.Context, b *message.Batch) error {
	args, rows := w.arrays(b)
	tag, err := w.conn.Exec(ctx, w.plan.store(w.plan.fromArrays(), w.deletes), args...)
	if err != nil {
		return err
	}
	return w.checkDiscarded(ctx, b, int64(rows), tag.RowsAffected())
}

// arrays are the columns of the stage, one after the other.
func (w *ownWrite) arrays(b *message.Batch) (args []any, rows int) {
	places, gone := make([]int32, 0, len(b.Messages)), make([]bool, 0, len(b.Messages))
	texts, absent := make([][]*string, len(w.plan.columns)), make([][]bool, len(w.plan.columns))
	var fields []ownField
	rest := w.rows
	for i := range b.Messages {
		var r ownRecord
		r, rest = nextRecord(rest, fields)
		fields = r.fields
		if r.kind == ownRefused {
			continue
		}
		places, gone = append(places, int32(i)), append(gone, r.kind == ownDelete)
		for n, f := range r.fields {
			var text *string
			if !f.absent && !f.null {
				plain := copyUnescaped(f.text)
				text = &plain
			}
			texts[n], absent[n] = append(texts[n], text), append(absent[n], f.absent)
		}
	}
	args = []any{places, gone}
	for n, c := range w.plan.columns {
		args = append(args, texts[n])
		if c.Default != "" {
			args = append(args, absent[n])
		}
	}
	return args, len(places)
}

// fromArrays is where the rows come from then.
func (p *ownPlan) fromArrays() string {
	types, names := []string{"$1::integer[]", "$2::boolean[]"}, []string{"place", "gone"}
	add := func(name, kind string) {
		types, names = append(types, fmt.Sprintf("$%d::%s[]", len(types)+1, kind)), append(names, name)
	}
	for i, c := range p.columns {
		add(fmt.Sprintf("c%d", i), "text")
		if c.Default != "" {
			add(fmt.Sprintf("d%d", i), "boolean")
		}
	}
	return " FROM unnest(" + strings.Join(types, ", ") + ") AS s (" + strings.Join(names, ", ") + ")"
}

// copyUnescaped takes back what appendCopyText did.
func copyUnescaped(text []byte) string {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text)
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			i++
			switch c = text[i]; c {
			case 't':
				c = '\t'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
