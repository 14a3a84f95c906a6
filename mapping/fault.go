package mapping

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Error says why a message cannot be a row. It is about the message, never
// about the set-up: its place is the dead letters.
type Error struct {
	Column string // "" if the fault is the document's
	Reason string // for people; valid UTF-8 without NUL; bytes are counted from 1
}

func (e *Error) Error() string {
	if e.Column == "" {
		return e.Reason
	}
	return "column " + quote(e.Column) + ": " + e.Reason
}

var errNUL = errors.New("NUL, which Postgres' text cannot hold")
var errUTF8 = errors.New("invalid UTF-8, which Postgres' text cannot hold")

// syntaxFault says in this room's words what the decoder found in the body.
// What kind of fault it is follows from the bytes at its place: the decoder
// tells it in texts only.
func syntaxFault(body []byte, err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("not JSON: the body is blank")
	}
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("not JSON: %w", err)
	}
	at := int(syntax.ByteOffset)
	if errors.Is(err, io.ErrUnexpectedEOF) || at < 0 || at >= len(body) {
		return fmt.Errorf("not JSON: the document is cut off after byte %d", len(body))
	}
	rest := body[at:]
	switch r, n := utf8.DecodeRune(rest); {
	case rest[0] == 0:
		return fmt.Errorf("not JSON: a NUL byte at byte %d", at+1)
	case r == utf8.RuneError && n == 1:
		return fmt.Errorf("invalid UTF-8 at byte %d", at+1)
	case isSurrogate(rest):
		return fmt.Errorf("%s: a lone surrogate at byte %d", place(syntax.JSONPointer), at+1)
	}
	return fmt.Errorf("not JSON: %w at byte %d", syntax.Err, at+1)
}

// isSurrogate tells whether the text begins with the escape of a surrogate.
func isSurrogate(text []byte) bool {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return false
	}
	v, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return err == nil && 0xd800 <= v && v <= 0xdfff
}

// place writes the decoder's pointer as a path. It does not know which of its
// numbers are elements: they read as such, whatever they are.
func place(pointer jsontext.Pointer) string {
	const longest = 200
	var path []step
	for name := range pointer.Tokens() {
		i, err := strconv.ParseUint(name, 10, 31)
		path = append(path, step{name: name, index: int(i), element: err == nil})
	}
	s := pathString(path)
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return s
}

// describe names what the JSON value is.
func describe(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a JSON array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
