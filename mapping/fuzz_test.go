package mapping

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"
)

// Nothing makes it panic, and what it gives out Postgres can read as text.
func FuzzRow(f *testing.F) {
	f.Add("$.a[0].b", `{"a":[{"b":[["1",2],[null,"x\u00e9"]]}],"a":[{"b":"now"}]}`, uint8(0))
	f.Add(`$["a b"]`, `{"a b":"aGk="}`, uint8(3))
	f.Add("$", `"\ud83d\ude00"`, uint8(1))
	f.Add("subject[2]", "a.b", uint8(4))
	f.Fuzz(func(t *testing.T, text, body string, kind uint8) {
		source, err := ParseSource(text)
		if err != nil {
			return
		}
		if again, err := ParseSource(source.String()); err != nil || !again.Equal(source) {
			t.Fatalf("%q is written %q: %v", text, source, err)
		}
		k := Kind(kind) % (Time + 1)
		m, err := New([]Column{{Name: "c", Source: source, Kind: k}, {Name: "f", Source: Field("a"), Kind: ArrayOf(k)}})
		if err != nil {
			return
		}
		before := []byte(body)
		row, err := m.Row(nil, Message{Subject: text, ID: body, Header: map[string][]string{"a": {body}}, Body: before})
		if string(before) != body {
			t.Fatalf("the body %q became %q", body, before)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !utf8.ValidString(e.Error()) || bytes.IndexByte([]byte(e.Error()), 0) >= 0 {
				t.Fatalf("%q", err)
			}
			return
		}
		for _, v := range row {
			if !utf8.Valid(v.Text) || bytes.IndexByte(v.Text, 0) >= 0 || v.State != Present && v.Text != nil {
				t.Fatalf("%d %q", v.State, v.Text)
			}
		}
	})
}
