package mapping

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseSource(t *testing.T) {
	body := func(path ...step) Source { return Source{from: fromBody, path: path} }
	member := func(name string) step { return step{name: name} }
	element := func(i int) step { return step{index: i, element: true} }
	for _, tt := range []struct {
		text string
		want Source
		back string // "" if it is the text itself
	}{
		{"$", body(), ""},
		{"$.id", body(member("id")), ""},
		{"$.customer.id", body(member("customer"), member("id")), ""},
		{"$.order-id", body(member("order-id")), ""},
		{"$.größe", body(member("größe")), ""},
		{"$.2fa", body(member("2fa")), ""},
		{`$["odd name"].x`, body(member("odd name"), member("x")), ""},
		{`$["plain"]`, body(member("plain")), "$.plain"},
		{`$[""]`, body(member("")), ""},
		{`$["a\"]b"]`, body(member(`a"]b`)), ""},
		{`$["\u00e9"]`, body(member("é")), "$.é"},
		{`$["a.b"][2]`, body(member("a.b"), element(2)), ""},
		{"$.items[0]", body(member("items"), element(0)), ""},
		{"$[1][2].x", body(element(1), element(2), member("x")), ""},
		{`$["0"]`, body(member("0")), "$.0"},
		{"subject", Source{from: fromSubject}, ""},
		{"message.subject", Source{from: fromSubject}, "subject"},
		{"subject[2]", Source{from: fromSubject, token: 2}, ""},
		{"message.seq", Source{from: fromSeq}, ""},
		{"message.id", Source{from: fromID}, ""},
		{"message.published_at", Source{from: fromPublished}, ""},
		{`header["X-Shop"]`, Source{from: fromHeader, name: "X-Shop"}, ""},
	} {
		got, err := ParseSource(tt.text)
		if err != nil || !got.Equal(tt.want) {
			t.Errorf("%s: %+v, %v", tt.text, got, err)
		}
		back := tt.back
		if back == "" {
			back = tt.text
		}
		if got.String() != back {
			t.Errorf("%s is written %s", tt.text, got)
		}
	}
}

func TestParseSourceRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "at character 1: write $.field",
		"id":                  "write $.id",
		"subjects":            "write $.subjects",
		"customer.id":         "at character 1: write $.field",
		" $.id":               "at character 1",
		"$ ":                  `at character 2: .name, ["name"] or [0] is due`,
		"$id":                 "at character 2: .name",
		"$.":                  "at character 3: a name is due",
		"$..a":                "at character 3: a name is due",
		`$."a b"`:             `["in quotes"]`,
		"$.a b":               "at character 4: .name",
		"$.é b":               "at character 4: .name",
		"$[":                  "at character 3: a number is due",
		"$[]":                 "at character 3: a number is due",
		"$[*]":                "at character 3: a number is due",
		"$[-1]":               "at character 3: a number is due",
		"$['a']":              "in double quotes",
		"$[1":                 "] is due",
		"$[99999999999]":      "too large",
		`$["a`:                "not closed",
		`$["a\`:               "not closed",
		`$["a"`:               "] is due",
		`$["\x"]`:             "JSON's escapes",
		`$["\ud800"]`:         "JSON's escapes",
		"subject[0]":          "at character 9: a subject's tokens are counted from 1",
		"subject[x]":          "a number is due",
		"subject[1]x":         "nothing may follow",
		"subject.x":           "nothing may follow",
		"message":             "seq, id, subject and published_at",
		"message.sequence":    "at character 9: a message has",
		"message.seq.x":       "nothing may follow",
		"header":              `write header["Name"]`,
		"header.X":            `write header["Name"]`,
		"header[X]":           "a name in double quotes is due",
		`header[""]`:          "a header has a name",
		`header["a"]["b"]`:    "nothing may follow",
		"$.a\xff":             "not valid UTF-8",
		"coalesce($.a, '-')":  "write $.field",
		"$.a || $.b":          "at character 4",
		"$.items[?(@.x > 1)]": "a number is due",
	} {
		got, err := ParseSource(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}

// Whatever a source is, its text is that source.
func TestSourceText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Source{from: fromBody}
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "element") {
				s.path = append(s.path, step{index: rapid.IntRange(0, 1<<31-1).Draw(t, "index"), element: true})
			} else {
				s.path = append(s.path, step{name: rapid.String().Draw(t, "name")})
			}
		}
		got, err := ParseSource(s.String())
		if err != nil || !got.Equal(s) {
			t.Fatalf("%s: %+v, %v; want %+v", s, got, err, s)
		}
	})
}

func TestField(t *testing.T) {
	for name, want := range map[string]string{"id": "$.id", "a.b": `$["a.b"]`, "$": `$["$"]`, "subject": "$.subject"} {
		if got := Field(name).String(); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
