package mapping

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// Source is where a column's value comes from. The zero Source is nowhere, and
// New refuses it.
type Source struct {
	from  origin
	name  string // fromHeader: of the header
	token int    // fromSubject: which token, from 1; 0: all of it
	path  []step // fromBody: empty for the whole document
}

type origin uint8

const (
	nowhere origin = iota
	fromBody
	fromSubject
	fromHeader
	fromSeq
	fromID
	fromPublished
)

// step leads from a JSON value to one inside it.
type step struct {
	name    string // of a member
	index   int    // of an element, from 0
	element bool
}

// Field is the source of a column that has no entry: the document's member of
// that name, whatever characters it has.
func Field(name string) Source {
	return Source{from: fromBody, path: []step{{name: name}}}
}

// FromBody tells whether the source is in the document, so that a message
// needs one.
func (s Source) FromBody() bool { return s.from == fromBody }

// FromID tells whether the source is the message id, by which a table of the
// user's own can recognise repeats.
func (s Source) FromID() bool { return s.from == fromID }

// Equal tells whether both are the same place.
func (s Source) Equal(o Source) bool {
	return s.from == o.from && s.name == o.name && s.token == o.token && slices.Equal(s.path, o.path)
}

// String is the source as ParseSource reads it, in its shortest form; "" for
// the zero Source.
func (s Source) String() string {
	switch s.from {
	case fromBody:
		return pathString(s.path)
	case fromSubject:
		if s.token == 0 {
			return "subject"
		}
		return "subject[" + strconv.Itoa(s.token) + "]"
	case fromHeader:
		return "header[" + quote(s.name) + "]"
	case fromSeq:
		return "message.seq"
	case fromID:
		return "message.id"
	case fromPublished:
		return "message.published_at"
	}
	return ""
}

func pathString(path []step) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, s := range path {
		switch {
		case s.element:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case isPlain(s.name):
			b.WriteString("." + s.name)
		default:
			b.WriteString("[" + quote(s.name) + "]")
		}
	}
	return b.String()
}

// isPlain tells whether the name needs no quotes in a path.
func isPlain(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return !isPlainRune(r) }) < 0
}

func isPlainRune(r rune) bool {
	return r == '_' || r == '-' || r != unicode.ReplacementChar && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// quote writes s as JSON does: whatever is in it, the result is valid UTF-8
// without control characters.
func quote(s string) string {
	b, _ := jsontext.AppendQuote(nil, s) // its error tells of invalid UTF-8, which it has replaced
	return string(b)
}
