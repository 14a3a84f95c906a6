package mapping

import (
	"strings"
	"testing"
)

// Whatever is wrong with a body is said in words, and the next message is
// read as if nothing had been.
func TestPoison(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	m := newMapping(t, column(t, "c", "$.v", JSON))
	for body, want := range map[string]string{
		"":                              "not JSON: the body is empty",
		"hello":                         "not JSON: invalid character 'h' at start of value at byte 1",
		"  ":                            "not JSON: the body is blank",
		`{"v":`:                         "not JSON: the document is cut off after byte 5",
		`{"v":"a`:                       "not JSON: the document is cut off after byte 7",
		`{"v":1`:                        "not JSON: the document is cut off after byte 6",
		`{"v":tru}`:                     "not JSON: invalid character '}' in literal true (expecting 'e') at byte 9",
		`{"v":01}`:                      "not JSON: invalid character '1' after object value (expecting ',' or '}') at byte 7",
		`{"v":1,}`:                      "not JSON: invalid character ',' at start of value at byte 7",
		`{"v" 1}`:                       "not JSON: invalid character '1' after object name (expecting ':') at byte 6",
		`{v:1}`:                         "not JSON: invalid character 'v' at start of value at byte 2",
		`{1:1}`:                         "not JSON: object member name must be a string at byte 2",
		`{"x":[1 2],"v":1}`:             "not JSON: invalid character '2' after array element (expecting ',' or ']') at byte 9",
		`{"v":1]`:                       "not JSON: invalid character ']' after object value (expecting ',' or '}') at byte 7",
		`{"v":NaN}`:                     "not JSON: invalid character 'N' at start of value at byte 6",
		`{'v':1}`:                       "not JSON: invalid character '\\'' at start of value at byte 2",
		`{"v":1} x`:                     "not JSON: the document ends at byte 7, and more follows",
		`{"v":1}{"v":2}`:                "not JSON: the document ends at byte 7, and more follows",
		"{\"v\":1}\x00":                 "not JSON: the document ends at byte 7, and more follows",
		"\xef\xbb\xbf{}":                "not JSON: invalid character '\\ufeff' at start of value at byte 1",
		"{\"v\":\"a\x00\"}":             "not JSON: a NUL byte at byte 8",
		"\x00":                          "not JSON: a NUL byte at byte 1",
		"{\"v\":\"a\nb\"}":              "not JSON: invalid character '\\n' in string (expecting non-control character) at byte 8",
		`{"v":"\x"}`:                    "not JSON: invalid escape sequence `\\x` in string at byte 7",
		"{\"v\":\"\xff\"}":              "invalid UTF-8 at byte 7",
		"{\"v\":\"\xed\xa0\x80\"}":      "invalid UTF-8 at byte 7", // a surrogate in UTF-8
		"{\"v\":\"\xc0\x80\"}":          "invalid UTF-8 at byte 7", // NUL, overlong
		"{\"other\":[\"\xff\"]}":        "invalid UTF-8 at byte 12",
		"{\"\xff\":1}":                  "invalid UTF-8 at byte 3",
		`{"v":"ab\ud800"}`:              "$.v: a lone surrogate at byte 9",
		`{"v":"\udc00\ud800"}`:          "$.v: a lone surrogate at byte 7",
		`{"v":"\ud800\u0041"}`:          "$.v: a lone surrogate at byte 7",
		`{"v":{"x y":[0,"\udbff"]}}`:    `$.v["x y"][1]: a lone surrogate at byte 17`,
		`{"other":"\udfff"}`:            "$.other: a lone surrogate at byte 11",
		`{"\u0000":"\udfff"}`:           `$["\u0000"]: a lone surrogate at byte 12`,
		`{"v":"\u0000"}`:                `$.v: \u0000, which Postgres' json cannot hold`,
		`{"v":{"\u0000":1}}`:            `$.v: \u0000, which Postgres' json cannot hold`,
		`{"v":["\\\u0000"]}`:            `$.v: \u0000, which Postgres' json cannot hold`,
		`[{"v":1}]`:                     "a JSON array, where an object is due",
		`{"v":` + nested(1000) + `}`:    "nested deeper than 1000, at byte 1005",
		nested(100_000):                 "nested deeper than 1000, at byte 1001",
		strings.Repeat(`{"v":`, 20_000): "nested deeper than 1000, at byte 5001",
	} {
		if got := only(t, m, Message{Body: []byte(body)}); got != "refused: "+want {
			t.Errorf("%.60q:\n got %s\nwant refused: %s", body, got, want)
		}
		if got := only(t, m, Message{Body: []byte(`{"v":1}`)}); got != "=1" {
			t.Fatalf("after %.60q: %s", body, got)
		}
	}
	for body, want := range map[string]string{
		`{"other":"\u0000","v":1}`:                      "=1", // nobody takes it
		`{"v":` + nested(999) + `}`:                     "=" + nested(999),
		`{"v":"` + strings.Repeat(`[\"{`, 2000) + `"}`:  `="` + strings.Repeat(`[\"{`, 2000) + `"`,
		`{"v":[` + strings.Repeat(`[],`, 2000) + `{}]}`: `=[` + strings.Repeat(`[],`, 2000) + `{}]`,
	} {
		if got := only(t, m, Message{Body: []byte(body)}); got != want {
			t.Errorf("%.60q: %.80s", body, got)
		}
	}
}

// A long path in a reason is cut, and the cut does not split a character.
func TestPlaceIsShort(t *testing.T) {
	m := newMapping(t, column(t, "c", "$", Text))
	for shift := range 3 {
		name := strings.Repeat("x", shift) + strings.Repeat("é", 500_000)
		if got := only(t, m, Message{Body: []byte(`{"` + name + `":"\ud800"}`)}); len(got) > 300 {
			t.Errorf("%d bytes", len(got))
		}
	}
}
