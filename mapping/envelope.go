package mapping

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// publishedForm is RFC 3339 with all nine digits, so that texts compare as the
// instants do. Postgres keeps six of them, rounded.
const publishedForm = "2006-01-02T15:04:05.000000000Z07:00"

// fromEnvelope is the column's value of what the message has beside its body.
// Strings are handled as a JSON string of that content would be, with two
// differences: a bytea gets their very bytes, whatever these are, and a json
// gets a string, which need not hold JSON itself.
func (m *Mapping) fromEnvelope(c *Column, msg *Message) (Value, error) {
	start := len(m.arena)
	var s string
	switch c.Source.from {
	case fromSeq:
		m.arena = strconv.AppendUint(m.arena, msg.Seq, 10)
		return present(m.arena[start:]), nil
	case fromID:
		s = msg.ID
		if s == "" {
			return Value{}, nil
		}
	case fromHeader:
		values := msg.Header[c.Source.name]
		if len(values) == 0 {
			return Value{}, nil
		}
		s = values[0]
	case fromSubject:
		var ok bool
		if s, ok = subjectToken(msg.Subject, c.Source.token); !ok {
			return Value{}, nil
		}
	}
	m.element = append(m.element[:0], s...)
	if c.Source.from == fromPublished {
		m.element = msg.Published.UTC().AppendFormat(m.element, publishedForm)
	}
	if err := m.appendString(c.Kind, m.element); err != nil {
		return Value{}, fmt.Errorf("%s: %w", c.Source, err)
	}
	return present(m.arena[start:]), nil
}

// appendString appends the string's text to the arena.
func (m *Mapping) appendString(kind Kind, s []byte) error {
	if kind == Bytes {
		m.arena = hex.AppendEncode(append(m.arena, '\\', 'x'), s)
		return nil
	}
	if bytes.IndexByte(s, 0) >= 0 {
		return errNUL
	}
	if !utf8.Valid(s) {
		return errUTF8
	}
	var err error
	switch {
	case kind == JSON:
		m.arena, err = jsontext.AppendQuote(m.arena, s)
		return err
	case kind == Time:
		err = checkTime(s)
	case kind.isArray():
		err = checkLiteral(kind, s)
	}
	m.arena = append(m.arena, s...)
	return err
}

// subjectToken is the n-th token of the subject, from 1; all of it for 0.
// false: it has fewer.
func subjectToken(subject string, n int) (string, bool) {
	if n == 0 {
		return subject, true
	}
	for ; n > 1; n-- {
		_, rest, ok := strings.Cut(subject, ".")
		if !ok {
			return "", false
		}
		subject = rest
	}
	token, _, _ := strings.Cut(subject, ".")
	return token, true
}
