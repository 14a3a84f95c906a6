package drill

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// document is a jsonb: an object of everything, some levels deep. What is
// expected is written as encoding/json writes it.
func (m *lineMaker) document() {
	text, value := m.anyJSON(3)
	if value == nil {
		m.null("doc")
		return
	}
	m.put("doc", text, canonical(value))
}

// canonical is a value of JSON in one certain form. The tests make only such
// that have one.
func canonical(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// anyJSON is a value and its text.
func (m *lineMaker) anyJSON(depth int) (text string, value any) {
	kinds := 7
	if depth == 0 {
		kinds = 5
	}
	switch m.IntN(kinds) {
	case 0:
		return "null", nil
	case 1:
		return "true", true
	case 2:
		s := m.words(m.IntN(8))
		return m.quote(s), s
	case 3:
		n := strconv.FormatUint(m.Uint64(), 10) + ".50" // every digit stays
		return n, json.Number(n)
	case 4:
		n := strconv.FormatInt(bigKey+m.Int64N(1000), 10)
		return n, json.Number(n)
	case 5:
		var texts []string
		list := []any{}
		for range m.IntN(4) {
			t, v := m.anyJSON(depth - 1)
			texts, list = append(texts, t), append(list, v)
		}
		return "[" + strings.Join(texts, ", ") + "]", list
	}
	var texts []string
	object := map[string]any{}
	for i := range m.IntN(4) {
		name := m.words(m.IntN(3)) + strconv.Itoa(i)
		t, v := m.anyJSON(depth - 1)
		texts = append(texts, m.quote(name)+": "+t)
		object[name] = v
	}
	return "{" + strings.Join(texts, ",") + "}", object
}

// list is a text[].
func (m *lineMaker) list() {
	texts, want := []string{}, []any{}
	for range m.IntN(5) {
		switch m.IntN(5) {
		case 0:
			texts, want = append(texts, "null"), append(want, nil)
		case 1:
			texts, want = append(texts, "17.0"), append(want, "17.0")
		case 2:
			texts, want = append(texts, `"NULL"`), append(want, "NULL")
		default:
			s := m.words(m.IntN(6))
			texts, want = append(texts, m.quote(s)), append(want, s)
		}
	}
	m.put("tags", "["+strings.Join(texts, ",")+"]", canonical(want))
}

// bytes is a bytea, as base64 of either alphabet.
func (m *lineMaker) bytes() {
	b := make([]byte, m.IntN(40))
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	encodings := []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding}
	m.put("raw", m.quote(encodings[m.IntN(4)].EncodeToString(b)), hex.EncodeToString(b))
}

// badWay is a way in which a document is bad.
type badWay struct {
	name     string
	sqlstate string // of its dead letter; "": Landfall itself refuses it

	// rule: only a rule of the table refuses it, so that nobody may notice
	// where another message takes its place before it gets there.
	rule bool

	spoil func(*lineMaker)
}

// badWays are all, see tableSchema for those that the tables know.
func badWays() []badWay {
	raw := func(format string) func(*lineMaker) {
		return func(m *lineMaker) { m.body = fmt.Appendf(nil, format, m.key) }
	}
	field := func(column, json string) func(*lineMaker) {
		return func(m *lineMaker) { m.put(column, json, "") }
	}
	return []badWay{
		{"NUL in a text", "", false, field("name", `"a\u0000b"`)},
		{"NUL in a jsonb", "", false, field("doc", `{"a": ["\u0000"]}`)},
		{"NUL itself", "", false, raw(`{"id": %d, "name": "` + "\x00" + `"}`)},
		{"lone surrogate", "", false, field("name", `"\ud800"`)},
		{"lone surrogate where nobody looks", "", false, field("nobody", `"\udc00 \ud800x"`)},
		{"invalid UTF-8", "", false, raw(`{"id": %d, "name": "` + "\xc3\x28" + `"}`)},
		{"not JSON", "", false, raw(`{"id": %d, `)},
		{"more than JSON", "", false, raw(`{"id": %d, "name": "x"} {}`)},
		{"an array", "", false, raw(`[{"id": %d, "name": "x"}]`)},
		{"deep", "", false, raw(`{"id": %d, "name": "x", "doc": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}")},
		{"an object for a number", "", false, field("amount", `{"is": 1}`)},
		{"an array for a boolean", "", false, field("paid", `[true]`)},
		{"ragged array", "", false, field("tags", `[["a"], ["b", "c"]]`)},
		{"not base64", "", false, field("raw", `"?"`)},
		{"a time that moves", "", false, field("at", `"today 04:05"`)},
		{noKey, "", false, func(m *lineMaker) { m.left["id"] = true }},
		{"bigint too large", "22003", false, field("id", `92233720368547758080`)},
		{"double too large", "22003", false, field("ratio", `1e999`)},
		{"no such day", "22008", false, field("day", `"2021-02-30"`)},
		{"no date", "22007", false, field("day", `"someday"`)},
		{"no uuid", "22P02", false, field("ref", `"123"`)},
		{"unknown enum", "22P02", false, field("state", `"lost"`)},
		{"no boolean", "22P02", false, field("paid", `"perhaps"`)},
		{"too long", "22001", true, field("name", `"`+strings.Repeat("é", 41)+`"`)},
		{"a field of 600 KB", "22001", true, func(m *lineMaker) { m.put("name", `"`+strings.Repeat("x", 600_000)+`"`, "") }},
		{"absent, not null", "23502", true, func(m *lineMaker) { m.left["name"] = true }},
		{"null, not null", "23502", true, func(m *lineMaker) { m.null("name") }},
		{"check", "23514", true, field("amount", `13`)},
		{"exclusion", "23P01", true, field("slot", `1`)},
		{"unique", "23505", true, field("code", `"taken"`)},
		{"foreign key", "23503", true, func(m *lineMaker) {
			m.members = append(m.members, `"buyer": {"who": [null, {"id": 4}]}`)
			m.left["customer"] = true
		}},
		{"deferred foreign key", "23503", true, field("shop", `4711`)},
		{"trigger", "P0001", true, field("name", `"raise"`)},
		{"empty", "", false, func(m *lineMaker) { m.body = []byte{} }},
	}
}

// noKey is the way that means something else under append.
const noKey = "no key"
