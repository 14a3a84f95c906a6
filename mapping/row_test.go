package mapping

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// column parses a test's source; mistakes in it are the test's.
func column(t testing.TB, name, source string, kind Kind) Column {
	t.Helper()
	s, err := ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	return Column{Name: name, Source: s, Kind: kind}
}

func newMapping(t testing.TB, columns ...Column) *Mapping {
	t.Helper()
	m, err := New(columns)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// show writes a value so that no two that differ look the same.
func show(v Value) string {
	switch v.State {
	case Absent:
		return "absent"
	case Null:
		return "null"
	}
	return "=" + string(v.Text)
}

// only is the value of a mapping's one column, or its reason.
func only(t testing.TB, m *Mapping, msg Message) string {
	t.Helper()
	row, err := m.Row(nil, msg)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || len(row) != 0 {
			t.Fatalf("%v, %T: %v", row, err, err)
		}
		if !utf8.ValidString(e.Reason) || strings.IndexByte(e.Reason, 0) >= 0 {
			t.Errorf("reason %q", e.Reason)
		}
		return "refused: " + e.Reason
	}
	if len(row) != 1 {
		t.Fatalf("%d values", len(row))
	}
	return show(row[0])
}

const document = ` {"id": 7, "customer": {"id": "c1", "tags": ["x", {"y": 1}], "none": null},
	"odd name": {"x": true}, "a.b": "dot", "\u0065sc": "e", "none": null, "": "empty" } `

func TestPaths(t *testing.T) {
	for source, want := range map[string]string{
		"$":                     "=" + strings.TrimSpace(document),
		"$.id":                  "=7",
		"$.customer.id":         "=c1",
		"$.customer":            `={"id": "c1", "tags": ["x", {"y": 1}], "none": null}`,
		"$.customer.tags":       `=["x", {"y": 1}]`,
		"$.customer.tags[0]":    "=x",
		"$.customer.tags[1].y":  "=1",
		"$.customer.tags[2]":    "absent",
		"$.customer.tags.x":     "absent",
		"$.customer.tags[1][0]": "absent",
		"$.customer[0]":         "absent",
		"$.customer.none":       "null",
		"$.customer.none.x":     "absent",
		`$["odd name"].x`:       "=true",
		`$["a.b"]`:              "=dot",
		"$.a.b":                 "absent",
		"$.esc":                 "=e",
		`$[""]`:                 "=empty",
		"$.none":                "null",
		"$.none.x":              "absent",
		"$.missing":             "absent",
		"$.missing.x":           "absent",
		"$.id.x":                "absent",
		"$.id[0]":               "absent",
		"$.ID":                  "absent",
		"subject":               "=orders.eu.de",
		"subject[1]":            "=orders",
		"subject[3]":            "=de",
		"subject[4]":            "absent",
		"message.seq":           "=18446744073709551615",
		"message.id":            "=m-1",
		"message.published_at":  "=2026-03-01T11:00:00.120000000Z",
		`header["Shop"]`:        "=first",
		`header["shop"]`:        "absent",
		`header["Empty"]`:       "=",
		`header["None"]`:        "absent",
	} {
		m := newMapping(t, column(t, "c", source, Text))
		got := only(t, m, Message{
			Seq: 1<<64 - 1, ID: "m-1", Subject: "orders.eu.de",
			Published: time.Date(2026, 3, 1, 12, 0, 0, 120_000_000, time.FixedZone("", 3600)),
			Header:    map[string][]string{"Shop": {"first", "second"}, "Empty": {""}, "None": {}},
			Body:      []byte(document),
		})
		if got != want {
			t.Errorf("%s: %s; want %s", source, got, want)
		}
	}
	m := newMapping(t, column(t, "c", "message.id", Text))
	if got := only(t, m, Message{}); got != "absent" {
		t.Errorf("no id: %s", got)
	}
}

func TestRoots(t *testing.T) {
	for _, tt := range []struct{ source, body, want string }{
		{"$", `7`, "=7"},
		{"$", `"s"`, "=s"},
		{"$", `null`, "null"},
		{"$", " [1,\n2] ", "=[1,\n2]"},
		{"$[1]", `[1,"b"]`, "=b"},
		{"$[1]", `[1]`, "absent"},
		{"$[1]", `{"1":2}`, "refused: an object, where an array is due"},
		{"$.a", `[{"a":1}]`, "refused: a JSON array, where an object is due"},
		{"$.a", `"a"`, "refused: a string, where an object is due"},
		{"$.a", `3`, "refused: a number, where an object is due"},
		{"$.a", `null`, "refused: null, where an object is due"},
		{"$.a", `{}`, "absent"},
	} {
		if got := only(t, newMapping(t, column(t, "c", tt.source, Text)), Message{Body: []byte(tt.body)}); got != tt.want {
			t.Errorf("%s of %s: %s; want %s", tt.source, tt.body, got, tt.want)
		}
	}
}

// The last member of a name counts, with all that is in it.
func TestRepeatedNames(t *testing.T) {
	m := newMapping(t, column(t, "id", "$.id", Scalar), column(t, "x", "$.a.x", Scalar),
		column(t, "y", "$.a.y[0]", Scalar), column(t, "a", "$.a", JSON))
	for body, want := range map[string]string{
		`{"id":1,"id":2}`:                     "=2 absent absent absent",
		`{"id":{},"id":"\u0000","\u0069d":2}`: "=2 absent absent absent",
		`{"id":1,"id":null}`:                  "null absent absent absent",
		`{"a":{"x":1,"y":[2]},"a":{"y":[3]}}`: `absent absent =3 ={"y":[3]}`,
		`{"a":{"x":1,"y":[2]},"a":5}`:         "absent absent absent =5",
		`{"a":{"x":1,"y":[2]},"a":null}`:      "absent absent absent null",
		`{"a":{"x":1,"x":4,"y":[2],"y":[]}}`:  `absent =4 absent ={"x":1,"x":4,"y":[2],"y":[]}`,
		`{"a":5,"a":{"x":1}}`:                 `absent =1 absent ={"x":1}`,
	} {
		row, err := m.Row(nil, Message{Body: []byte(body)})
		var got []string
		for _, v := range row {
			got = append(got, show(v))
		}
		if s := strings.Join(got, " "); err != nil || s != want {
			t.Errorf("%s: %s, %v; want %s", body, s, err, want)
		}
	}
}

func TestKinds(t *testing.T) {
	const single = "refused: $.v: %s, where int4 is due"
	for _, tt := range []struct {
		kind       Kind
		json, want string
	}{
		{Scalar, `"a\n\"\\\/é\u00e9\ud83d\ude00"`, "=a\n\"\\/éé😀"},
		{Scalar, `""`, "="},
		{Scalar, `9007199254740993`, "=9007199254740993"},
		{Scalar, `-0.10000000000000000000000000000000000001E+400`, "=-0.10000000000000000000000000000000000001E+400"},
		{Scalar, `true`, "=true"},
		{Scalar, `false`, "=false"},
		{Scalar, `null`, "null"},
		{Scalar, `{}`, fmt.Sprintf(single, "an object")},
		{Scalar, `[1]`, fmt.Sprintf(single, "a JSON array")},
		{Text, `"x"`, "=x"},
		{Text, `1.50`, "=1.50"},
		{Text, `{"a": [1, "\u0000"]}`, `={"a": [1, "\u0000"]}`},
		{Text, `[ ]`, "=[ ]"},
		{Text, `null`, "null"},
		{JSON, `"x"`, `="x"`},
		{JSON, `{"a": 1e999}`, `={"a": 1e999}`},
		{JSON, `"\\u0000"`, `="\\u0000"`},
		{JSON, `"\\\\u0000"`, `="\\\\u0000"`},
		{JSON, `null`, "null"},
		{JSON, `[null]`, "=[null]"},
		{Bytes, `"aGk="`, `=\x6869`},
		{Bytes, `"aGk"`, `=\x6869`},
		{Bytes, `""`, `=\x`},
		{Bytes, `"+/+/"`, `=\xfbffbf`},
		{Bytes, `"-_-_"`, `=\xfbffbf`},
		{Bytes, `"-_8="`, `=\xfbff`},
		{Bytes, `"+\/+\/"`, `=\xfbffbf`},
		{Bytes, `"aG\nk="`, `=\x6869`},
		{Bytes, `"aGk=="`, "refused: $.v: not base64, at character 5"},
		{Bytes, `"a"`, "refused: $.v: not base64, at character 1"},
		{Bytes, `"+_+_"`, "refused: $.v: not base64, at character 1"},
		{Bytes, `"aGl"`, "refused: $.v: not base64, at character 3"}, // bits left over: something was cut off
		{Bytes, `"aG k"`, "refused: $.v: not base64, at character 3"},
		{Bytes, `"\u0000"`, "refused: $.v: not base64, at character 1"},
		{Bytes, `"\\x6869"`, "refused: $.v: not base64, at character 1"},
		{Bytes, `7`, "refused: $.v: a number, where int4 (base64 in a string) is due"},
		{Time, `"2026-02-30"`, "=2026-02-30"},
		{Time, `"-infinity"`, "=-infinity"},
		{Time, `"Monday, 3 Nov 2026 04:05 PST"`, "=Monday, 3 Nov 2026 04:05 PST"},
		{Time, `"Known nowhere"`, "=Known nowhere"},
		{Time, `null`, "null"},
		{Time, `""`, "refused: $.v: an empty string, where a time is due"},
		{Time, `"now"`, `refused: $.v: "now", where a time is due that stays the same`},
		{Time, `"ToDay 04:05"`, `refused: $.v: "ToDay", where a time is due that stays the same`},
		{Time, `"2026-01-01 allballs"`, `refused: $.v: "allballs", where a time is due that stays the same`},
		{Time, `"\u0065poch"`, `refused: $.v: "epoch", where a time is due that stays the same`},
		{Time, `" yesterday"`, `refused: $.v: "yesterday", where a time is due that stays the same`},
		{Time, `"tomorrow+1"`, `refused: $.v: "tomorrow", where a time is due that stays the same`},
		{Time, `1700000000`, "refused: $.v: a number, where int4 (a time in a string) is due"},
		{Time, `true`, "refused: $.v: a boolean, where int4 (a time in a string) is due"},
	} {
		c := column(t, "c", "$.v", tt.kind)
		c.Type = "int4"
		if got := only(t, newMapping(t, c), Message{Body: []byte(`{"v": ` + tt.json + ` }`)}); got != tt.want {
			t.Errorf("%d of %s: %s; want %s", tt.kind, tt.json, got, tt.want)
		}
	}
}

func TestArrays(t *testing.T) {
	for _, tt := range []struct {
		of         Kind
		json, want string
	}{
		{Scalar, `[1, 2.50,true]`, `={"1","2.50","true"}`},
		{Scalar, `[]`, "={}"},
		{Scalar, `[[],[]]`, "={}"},
		{Scalar, `[null, "NULL", ""]`, `={NULL,"NULL",""}`},
		{Scalar, `["a\"b\\c", "{x,y}", "\ud83d\ude00\n"]`, "={\"a\\\"b\\\\c\",\"{x,y}\",\"😀\n\"}"},
		{Scalar, `[[1,2],[3,null]]`, `={{"1","2"},{"3",NULL}}`},
		{Scalar, `[[[1],[2]],[[3],[4]]]`, `={{{"1"},{"2"}},{{"3"},{"4"}}}`},
		{Scalar, `[[[[[[1]]]]]]`, `={{{{{{"1"}}}}}}`},
		{Scalar, `[[[[[[[1]]]]]]]`, "refused: $.v: an array of more than 6 dimensions"},
		{Scalar, `"{1,2}"`, "={1,2}"},
		{Scalar, `null`, "null"},
		{Scalar, `[[1,2],[3]]`, "refused: $.v: arrays of 2 and of 1 elements side by side, where Postgres wants equal ones"},
		{Scalar, `[[],[3]]`, "refused: $.v: arrays of 0 and of 1 elements side by side, where Postgres wants equal ones"},
		{Scalar, `[[[1],[2]],[[1]]]`, "refused: $.v: arrays of 2 and of 1 elements side by side, where Postgres wants equal ones"},
		{Scalar, `[1,[2]]`, "refused: $.v: an array that has both values and arrays for elements"},
		{Scalar, `[[1],2]`, "refused: $.v: an array that has both values and arrays for elements"},
		{Scalar, `[[],2]`, "refused: $.v: an array that has both values and arrays for elements"},
		{Scalar, `[[1],null]`, "refused: $.v: an array that has both values and arrays for elements"},
		{Scalar, `[null,[1]]`, "refused: $.v: an array that has both values and arrays for elements"},
		{Scalar, `[1,{}]`, "refused: $.v[1]: an object, where an element of an array is due"},
		{Scalar, `[[1,2],[3,"\u0000"]]`, "refused: $.v[1][1]: NUL, which Postgres' text cannot hold"},
		{Scalar, `7`, "refused: $.v: a number, where an array is due"},
		{Scalar, `{}`, "refused: $.v: an object, where an array is due"},
		{Scalar, `"\u0000"`, "refused: $.v: NUL, which Postgres' text cannot hold"},
		{Text, `[{"a": "b"}, 1]`, `={"{\"a\": \"b\"}","1"}`},
		{Text, `[["x"],["y"]]`, `={{"x"},{"y"}}`},
		{JSON, `[{"a":1}, [1,[2]], "s", null]`, `={"{\"a\":1}","[1,[2]]","\"s\"",NULL}`},
		{JSON, `[[], [1]]`, `={"[]","[1]"}`},
		{JSON, `["\u0000"]`, `refused: $.v[0]: \u0000, which Postgres' json cannot hold`},
		{Bytes, `["aGk=", null, ""]`, `={"\\x6869",NULL,"\\x"}`},
		{Bytes, `["?"]`, "refused: $.v[0]: not base64, at character 1"},
		{Time, `["2026-01-01", null]`, `={"2026-01-01",NULL}`},
		{Time, `["2026-01-01", "now"]`, `refused: $.v[1]: "now", where a time is due that stays the same`},
		{Time, `[1]`, "refused: $.v[0]: a number, where an element of an array is due"},
		{Time, `"{2026-01-01,now}"`, `refused: $.v: "now", where a time is due that stays the same`},
		{Time, `"{2026-01-01,\"n\\ow\"}"`, "refused: $.v: a backslash in an array of times"},
	} {
		m := newMapping(t, column(t, "c", "$.v", ArrayOf(tt.of)))
		if got := only(t, m, Message{Body: []byte(`{"v":` + tt.json + `}`)}); got != tt.want {
			t.Errorf("array of %d of %s: %s; want %s", tt.of, tt.json, got, tt.want)
		}
	}
}

// What the message has beside its body is a string for every kind.
func TestEnvelopeKinds(t *testing.T) {
	for _, tt := range []struct {
		kind         Kind
		source, want string
	}{
		{JSON, "message.seq", "=7"},
		{JSON, "subject", `="a\"b"`},
		{JSON, `header["bad"]`, `refused: header["bad"]: invalid UTF-8, which Postgres' text cannot hold`},
		{Bytes, "subject", `=\x612262`},
		{Bytes, `header["bad"]`, `=\xff00`},
		{Text, `header["bad"]`, `refused: header["bad"]: NUL, which Postgres' text cannot hold`},
		{Text, `header["latin"]`, `refused: header["latin"]: invalid UTF-8, which Postgres' text cannot hold`},
		{Time, "message.published_at", "=1970-01-01T00:00:00.000000000Z"},
		{Time, `header["now"]`, `refused: header["now"]: "now", where a time is due that stays the same`},
		{ArrayOf(Time), `header["now"]`, `refused: header["now"]: "now", where a time is due that stays the same`},
		{ArrayOf(Scalar), `header["list"]`, "={1,2}"},
	} {
		m := newMapping(t, column(t, "c", tt.source, tt.kind))
		msg := Message{Seq: 7, Subject: `a"b`, Published: time.Unix(0, 0), Body: []byte("not looked at"),
			Header: map[string][]string{"bad": {"\xff\x00"}, "latin": {"\xe9"}, "now": {"now"}, "list": {"{1,2}"}}}
		if tt.kind == JSON {
			msg.Header["bad"] = []string{"\xff"}
		}
		if got := only(t, m, msg); got != tt.want {
			t.Errorf("%d of %s: %s; want %s", tt.kind, tt.source, got, tt.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New([]Column{
		column(t, "a", "$", Text), column(t, "a", "$", Text), column(t, "", "$", Text), {Name: "none"},
		column(t, "at", "message.seq", Time), column(t, "list", "message.seq", ArrayOf(Text)),
		{Name: "kind", Source: Field("x"), Kind: 9},
	})
	const want = `column "a": named twice
a column without a name
column "none": it has no source
column "at": message.seq is a number, where a time in a string is due
column "list": message.seq is a number, where an array is due
column "kind": kind 9 is none`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestOnly(t *testing.T) {
	all := newMapping(t, column(t, "id", "$.id", Scalar), column(t, "at", "$.at", Time), column(t, "s", "subject", Text))
	keys := all.Only("id", "unknown")
	msg := Message{Subject: "s", Body: []byte(`{"id":1,"at":"now"}`)}
	if got := only(t, keys, msg); got != "=1" {
		t.Error(got)
	}
	if _, err := all.Row(nil, msg); err == nil || err.Error() != `column "at": $.at: "now", where a time is due that stays the same` {
		t.Error(err)
	}
	if got := only(t, all.Only("s"), Message{Subject: "s", Body: []byte("\x00")}); got != "=s" {
		t.Error(got)
	}
}

// Texts of one row stay apart, also while the arena grows, and what is in dst
// stays there.
func TestRowAppends(t *testing.T) {
	var columns []Column
	body := "{"
	for i := range 50 {
		columns = append(columns, Column{Name: fmt.Sprint(i), Source: Field(fmt.Sprint(i)), Kind: Bytes})
		body += fmt.Sprintf(`"%d":"%s",`, i, base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fmt.Sprint(i), 30))))
	}
	m := newMapping(t, columns...)
	row, err := m.Row([]Value{{State: Null}}, Message{Body: []byte(body + `"x":0}`)})
	if err != nil || len(row) != 51 || row[0].State != Null {
		t.Fatal(len(row), err)
	}
	for i, v := range row[1:] {
		if want := fmt.Sprintf(`\x%x`, strings.Repeat(fmt.Sprint(i), 30)); string(v.Text) != want {
			t.Errorf("%d: %s; want %s", i, v.Text, want)
		}
	}
}
