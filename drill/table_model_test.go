package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// tableWorld is what a table and its dead letters are to be.
type tableWorld struct {
	last  uint64              // where the cursor is to be
	rows  []map[string]string // in the order of their sequences
	dead  map[uint64]*badWay
	sent  map[uint64]Hash // of the dead letters, as they were sent
	noted map[uint64]bool // repeats of dead letters

	// Dead letters that may go unnoticed: a rule of the table alone refuses
	// them, and another message took their place in the same batch.
	open map[uint64]bool
}

// model takes the messages one by one, as if in batches of one.
func (u *tableRun) model(messages []told) tableWorld {
	w := tableWorld{dead: map[uint64]*badWay{}, sent: map[uint64]Hash{}, noted: map[uint64]bool{}, open: map[uint64]bool{}}
	at := map[int64]map[string]string{} // rows by key
	ruled := map[int64][]uint64{}       // dead letters by key that only a rule refuses
	first := map[string]bool{}          // ids of dead letters
	good := map[int64]bool{}            // keys that had a good message
	for _, m := range messages {
		w.last = m.seq
		l := u.line(m.part, m.place)
		id := m.part.id(m.place)
		if l.bad != nil && first[id] {
			w.noted[m.seq] = true
			continue
		}
		if l.bad != nil {
			first[id] = true
			w.dead[m.seq], w.sent[m.seq] = l.bad, HashOf(l.body)
			if l.bad.rule {
				ruled[l.key] = append(ruled[l.key], m.seq)
				w.open[m.seq] = u.mode == modeKeepFirst && good[l.key]
			}
			continue
		}
		good[l.key] = true
		for _, seq := range ruled[l.key] {
			w.open[seq] = w.open[seq] || u.mode == modeUpsert
		}
		row := u.row(m, l)
		switch _, there := at[l.key]; {
		case m.part.deletes:
			delete(at, l.key)
		case there && u.mode == modeAppend:
			w.dead[m.seq], w.sent[m.seq] = &badWay{name: "a repeat", sqlstate: "23505"}, HashOf(l.body)
		case !there || u.mode == modeUpsert:
			at[l.key] = row
		}
	}
	w.rows = slices.SortedFunc(maps.Values(at), func(a, b map[string]string) int { return sequenceOf(a) - sequenceOf(b) })
	return w
}

func sequenceOf(row map[string]string) int {
	seq, err := strconv.Atoi(row["seq"])
	if err != nil {
		return 0
	}
	return seq
}

// row is what a good message becomes.
func (u *tableRun) row(m told, l tableLine) map[string]string {
	row := maps.Clone(l.want)
	if row == nil {
		row = map[string]string{}
	}
	row["region"], row["msg"], row["seq"] = m.part.region, m.part.id(m.place), strconv.FormatUint(m.seq, 10)
	if m.part.origin != "" {
		row["origin"] = m.part.origin
	}
	return row
}

// mostDifferences is how many are told.
const mostDifferences = 5

// compareRows holds a table's rows against the model's.
func (w *tableWorld) compareRows(ctx context.Context, conn *pgx.Conn, mode string) (differences []string, err error) {
	rows, err := conn.Query(ctx, tableText(mode))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns := tableColumns()
	texts, into := make([]*string, len(columns)), make([]any, len(columns))
	for i := range texts {
		into[i] = &texts[i]
	}
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		got := map[string]string{}
		for i, text := range texts {
			if text != nil {
				got[columns[i]] = *text
			}
		}
		for _, column := range []string{"doc", "tags"} {
			if text, there := got[column]; there {
				got[column] = canonicalText(text)
			}
		}
		if n >= len(w.rows) || !maps.Equal(got, w.rows[n]) {
			want := map[string]string{}
			if n < len(w.rows) {
				want = w.rows[n]
			}
			if differences = append(differences, differs(want, got)); len(differences) == mostDifferences {
				return differences, nil
			}
		}
	}
	if n < len(w.rows) {
		differences = append(differences, fmt.Sprintf("%d rows, where %d are due", n, len(w.rows)))
	}
	return differences, rows.Err()
}

// canonicalText brings a text of JSON into the form of canonical.
func canonicalText(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return err.Error()
	}
	return canonical(value)
}

func differs(want, got map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "row %s, where %s is due:", got["seq"], want["seq"])
	for _, column := range tableColumns() {
		w, due := want[column]
		if g, there := got[column]; g != w || due != there {
			fmt.Fprintf(&b, " %s %q (%t), not %q (%t);", column, g, there, w, due)
		}
	}
	return b.String()
}

// compareDead holds the dead letters against the model's, and counts them by
// the way in which they are bad. unnoticed are those of the open ones that are
// none.
func (w *tableWorld) compareDead(ctx context.Context, conn *pgx.Conn, mode string) (ways map[string]int, unnoticed int, differences []string, err error) {
	rows, err := conn.Query(ctx, `SELECT d.seq, coalesce(d.sqlstate, ''), d.reason, coalesce(d.payload, '') FROM landfall.dead_letters AS d
		JOIN landfall.streams AS s ON s.id = d.stream_id WHERE s.name = $1 AND resolved_at IS NULL ORDER BY seq`, tableStream(mode))
	if err != nil {
		return nil, 0, nil, err
	}
	ways = map[string]int{}
	left := maps.Clone(w.dead)
	var seq uint64
	var code, reason string
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &code, &reason, &body}, func() error {
		way := left[seq]
		delete(left, seq)
		if way == nil {
			differences = append(differences, fmt.Sprintf("%d is a dead letter, and nothing is wrong with it: %s %s", seq, code, reason))
			return nil
		}
		ways[way.name]++
		want := way.sqlstate
		if way.name == noKey && mode == modeAppend { // there it is a column as any other
			want = "23502"
		}
		if w.sent[seq] != HashOf(body) {
			differences = append(differences, fmt.Sprintf("%d (%s) is a dead letter with another body", seq, way.name))
		}
		if code != want {
			differences = append(differences, fmt.Sprintf("%d (%s): SQLSTATE %q, not %q: %s", seq, way.name, code, want, reason))
		}
		return nil
	})
	for seq, way := range left {
		if w.open[seq] {
			unnoticed++
			continue
		}
		differences = append(differences, fmt.Sprintf("%d (%s) is no dead letter", seq, way.name))
	}
	return ways, unnoticed, differences, err
}
