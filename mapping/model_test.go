package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// The model: encoding/json makes a tree of the document, paths are walked in
// the tree, and what the mapping gave is read back as Postgres would read it.
// None of it is the room's own code.

var (
	names    = []string{"a", "b", "c d", "é", ""}
	contents = []string{"", "x", "NULL", `q"\`, "{1,2}", "né 😀", "a\tb", "2026-03-01", "now", "infinity", "aGk=", "aGk", "-_8", "nul\x00"}
	numbers  = []string{"0", "-0", "9007199254740993", "1.50", "1e400", "-12.3456789012345678901234567890"}
)

// writer writes JSON by chance, with all the liberties that JSON gives.
type writer struct {
	*rapid.T

	// Names come twice in an object, or strings hold NUL, but not both: NUL in
	// a member that a later one hides is refused, as jsonb does, and the model
	// does not see such a member.
	repeats bool
}

func (w writer) value(depth int) string {
	what := rapid.IntRange(0, 10)
	if depth <= 0 {
		what = rapid.IntRange(0, 5)
	}
	switch what.Draw(w.T, "what") {
	case 0:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(w.T, "literal")
	case 1:
		return rapid.SampledFrom(numbers).Draw(w.T, "number")
	case 2, 3, 4, 5:
		s := rapid.SampledFrom(contents).Draw(w.T, "content")
		if w.repeats {
			s = strings.TrimRight(s, "\x00")
		}
		return w.quoted(s)
	case 6, 7:
		return w.object(depth)
	case 8, 9:
		return w.matrix()
	}
	var parts []string
	for range rapid.IntRange(0, 3).Draw(w.T, "elements") {
		parts = append(parts, w.space()+w.value(depth-1)+w.space())
	}
	return "[" + strings.Join(parts, ",") + w.space() + "]"
}

func (w writer) space() string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n\t"}).Draw(w.T, "space")
}

// matrix is an array of arrays, which chance alone rarely makes equal.
func (w writer) matrix() string {
	width := rapid.IntRange(0, 3).Draw(w.T, "width")
	var rows []string
	for range rapid.IntRange(0, 3).Draw(w.T, "rows") {
		n := width
		if rapid.IntRange(0, 9).Draw(w.T, "ragged") == 9 {
			n++
		}
		cells := make([]string, n)
		for i := range cells {
			cells[i] = w.value(0)
		}
		rows = append(rows, "["+strings.Join(cells, ", ")+"]")
	}
	return "[" + strings.Join(rows, ",") + "]"
}

func (w writer) object(depth int) string {
	var parts []string
	seen := map[string]bool{}
	for range rapid.IntRange(0, 6).Draw(w.T, "members") {
		name := rapid.SampledFrom(names).Draw(w.T, "name")
		if !seen[name] || w.repeats {
			parts = append(parts, w.quoted(name)+" :"+w.value(depth-1))
		}
		seen[name] = true
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (w writer) quoted(s string) string {
	escape := rapid.IntRange(0, 3).Draw(w.T, "escape") == 3
	b := []byte{'"'}
	for _, r := range s {
		if !escape && r >= ' ' && r != '"' && r != '\\' {
			b = append(b, string(r)...)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			b = fmt.Appendf(b, `\u%04x`, u)
		}
	}
	return string(append(b, '"'))
}

func (w writer) column(name string) Column {
	s := Source{from: fromBody}
	for range rapid.IntRange(0, 3).Draw(w.T, "steps") {
		if len(s.path) > 0 && rapid.IntRange(0, 2).Draw(w.T, "element") == 0 {
			s.path = append(s.path, step{index: rapid.IntRange(0, 2).Draw(w.T, "index"), element: true})
		} else {
			s.path = append(s.path, step{name: rapid.SampledFrom(names).Draw(w.T, "name")})
		}
	}
	k := Kind(rapid.IntRange(0, int(Time)).Draw(w.T, "kind"))
	if rapid.Bool().Draw(w.T, "array") {
		k = ArrayOf(k)
	}
	return Column{Name: name, Source: s, Kind: k}
}

// Every column of every document is what the model says, or refused where the
// model refuses it.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := writer{T: t, repeats: rapid.Bool().Draw(t, "repeats")}
		body := " " + w.object(4)
		var doc any
		decoder := json.NewDecoder(strings.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&doc); err != nil {
			t.Fatalf("the model cannot read %s: %v", body, err)
		}
		// Each alone, so that one that is refused does not hide the others,
		// and then all together.
		var columns []Column
		for i := range rapid.IntRange(1, 12).Draw(t, "columns") {
			columns = append(columns, w.column(fmt.Sprint(i)))
			checkModel(t, columns[i:], body, doc)
		}
		checkModel(t, columns, body, doc)
	})
}

func checkModel(t *rapid.T, columns []Column, body string, doc any) {
	m, err := New(columns)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second row finds the buffers of the first
		row, err := m.Row(nil, Message{Body: []byte(body)})
		bad := "" // the first column that the model refuses
		var want []any
		for _, c := range columns {
			v, found := walk(doc, c.Source.path)
			model, ok := modelValue(c.Kind, v)
			if found && !ok {
				bad = c.Name
				break
			}
			if !found {
				model = Absent
			}
			want = append(want, model)
		}
		if bad != "" {
			var e *Error
			if !errors.As(err, &e) || e.Column != bad {
				t.Fatalf("%s: %v, %v; column %s is bad", body, row, err, bad)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		for i, c := range columns {
			if got := readBack(t, c.Kind, row[i], want[i]); !reflect.DeepEqual(got, want[i]) {
				t.Fatalf("%s in %s as %d: %#v; want %#v", c.Source, body, c.Kind, got, want[i])
			}
		}
	}
}

func walk(v any, path []step) (any, bool) {
	for _, s := range path {
		if s.element {
			list, ok := v.([]any)
			if !ok || s.index >= len(list) {
				return nil, false
			}
			v = list[s.index]
			continue
		}
		object, _ := v.(map[string]any)
		inner, ok := object[s.name]
		if !ok {
			return nil, false
		}
		v = inner
	}
	return v, true
}

// modelValue is what Postgres should have of v: nil for NULL, a string for a
// text, []any for an array, a tree for JSON and for the JSON in a text.
func modelValue(k Kind, v any) (any, bool) {
	if v == nil {
		return nil, true
	}
	elem := k &^ 0x80
	if k != elem {
		if s, ok := v.(string); ok {
			return s, !strings.Contains(s, "\x00") && (elem != Time || s != "now" && s != "" && !strings.Contains(s, `\`))
		}
		list, ok := v.([]any)
		if !ok {
			return nil, false
		}
		model, _, hasLeaf, ok := modelArray(elem, list, 1)
		if !hasLeaf {
			model = []any{}
		}
		return model, ok
	}
	switch v := v.(type) {
	case map[string]any, []any:
		return v, elem == Text || elem == JSON && !hasNUL(v)
	case string:
		switch elem {
		case JSON:
			return v, !hasNUL(v)
		case Bytes:
			b, err := base64.RawURLEncoding.Strict().DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(v))
			return string(b), err == nil
		case Time:
			return v, v != "now" && v != "" && !hasNUL(v)
		}
		return v, !hasNUL(v)
	case bool:
		if elem == JSON {
			return v, true
		}
		return strconv.FormatBool(v), elem == Text || elem == Scalar
	case json.Number:
		if elem == JSON {
			return v, true
		}
		return v.String(), elem == Text || elem == Scalar
	}
	return nil, false
}

// modelArray is the array, its shape as text, and whether there is any value
// in it.
func modelArray(elem Kind, list []any, level int) (model []any, shape string, hasLeaf, ok bool) {
	model = []any{}
	inner := ""
	for i, v := range list {
		one := "value"
		nested, isList := v.([]any)
		if isList && elem != JSON {
			m, s, leaf, ok := modelArray(elem, nested, level+1)
			if !ok {
				return nil, "", false, false
			}
			model, one, hasLeaf = append(model, m), s, hasLeaf || leaf
		} else {
			m, ok := modelValue(elem, v)
			if !ok {
				return nil, "", false, false
			}
			model, hasLeaf = append(model, m), true
		}
		if i > 0 && one != inner {
			return nil, "", false, false
		}
		inner = one
	}
	return model, fmt.Sprintf("%d(%s)", len(list), inner), hasLeaf, level <= 6
}

func hasNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "\x00")
	case []any:
		for _, e := range v {
			if hasNUL(e) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if hasNUL(e) {
				return true
			}
		}
	}
	return false
}

// readBack is the value as Postgres would have it, in the model's terms; want
// only tells whether a text is JSON, or an array its literal.
func readBack(t *rapid.T, k Kind, v Value, want any) any {
	switch v.State {
	case Absent:
		return Absent
	case Null:
		return nil
	}
	if _, isText := want.(string); k&0x80 != 0 && !isText {
		rest, list := readArray(t, k&^0x80, v.Text, want)
		if len(rest) > 0 {
			t.Fatalf("after the array in %s: %s", v.Text, rest)
		}
		return list
	} else if k&0x80 != 0 {
		return string(v.Text)
	}
	return readScalar(t, k, string(v.Text), want)
}

func readScalar(t *rapid.T, k Kind, text string, want any) any {
	_, isText := want.(string)
	switch {
	case k == JSON, k == Text && !isText:
		var doc any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&doc); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return doc
	case k == Bytes:
		var b []byte
		if _, err := fmt.Sscanf(text, `\x%x`, &b); err != nil && text != `\x` {
			t.Fatalf("%s: %v", text, err)
		}
		return string(b)
	}
	return text
}

// readArray reads an array's literal, as array_in does.
func readArray(t *rapid.T, k Kind, text []byte, want any) (rest []byte, list []any) {
	list = []any{}
	wants, _ := want.([]any)
	text, ok := bytes.CutPrefix(text, []byte("{"))
	for ok && len(text) > 0 {
		var w any
		if len(list) < len(wants) {
			w = wants[len(list)]
		}
		switch {
		case text[0] == '}':
			return text[1:], list
		case text[0] == ',' && len(list) > 0:
			text = text[1:]
			continue
		case text[0] == '{':
			var inner []any
			text, inner = readArray(t, k, text, w)
			list = append(list, inner)
		case text[0] == '"':
			var s []byte
			for text = text[1:]; text[0] != '"'; text = text[1:] {
				if text[0] == '\\' {
					text = text[1:]
				}
				s = append(s, text[0])
			}
			text = text[1:]
			list = append(list, readScalar(t, k, string(s), w))
		default:
			text, ok = bytes.CutPrefix(text, []byte("NULL"))
			list = append(list, nil)
		}
	}
	t.Fatalf("no array's literal: %s", text)
	return nil, nil
}
