package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// fromJSON is the column's value of what the document has for it.
func (m *Mapping) fromJSON(c *Column, raw []byte) (Value, error) {
	if raw == nil {
		return Value{}, nil
	}
	if raw[0] == 'n' {
		return Value{State: Null}, nil
	}
	var text []byte
	var err error
	switch {
	case !c.Kind.isArray():
		text, m.arena, err = appendText(m.arena, c.Kind, c, raw)
	case raw[0] == '[':
		if text, err = m.arrayLiteral(c, raw); err != nil {
			return Value{}, err
		}
	case raw[0] == '"':
		if text, m.arena, err = unquote(m.arena, raw); err == nil {
			err = checkLiteral(c.Kind, text)
		}
	default:
		err = fmt.Errorf("%s, where %s is due", describe(raw), c.due())
	}
	if err != nil {
		return Value{}, fmt.Errorf("%s: %w", c.Source, err)
	}
	return present(text), nil
}

// present is a value whose text nobody can append to by mistake.
func present(text []byte) Value { return Value{State: Present, Text: slices.Clip(text)} }

// appendText gives the text of one JSON value, not null, as kind wants it: a
// part of raw where that is the text already, else what it appended to buf.
// grown is buf with that.
func appendText(buf []byte, kind Kind, c *Column, raw []byte) (text, grown []byte, err error) {
	isString := raw[0] == '"'
	switch {
	case kind == JSON:
		if holdsNUL(raw) {
			return nil, buf, errors.New(`\u0000, which Postgres' json cannot hold`)
		}
		return raw, buf, nil
	case kind == Bytes && isString:
		return appendBytes(buf, raw)
	case kind == Time && isString:
		if text, buf, err = unquote(buf, raw); err == nil {
			err = checkTime(text)
		}
		return text, buf, err
	case kind == Text && !isString:
		return raw, buf, nil
	case isString:
		return unquote(buf, raw)
	case kind == Scalar && raw[0] != '{' && raw[0] != '[':
		return raw, buf, nil
	}
	due := c.due()
	if c.Kind.isArray() {
		due = "an element of " + due
	}
	return nil, buf, fmt.Errorf("%s, where %s is due", describe(raw), due)
}

// unquote gives the content of a JSON string.
func unquote(buf, raw []byte) (text, grown []byte, err error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], buf, nil // JSON has no NUL but as an escape
	}
	start := len(buf)
	if buf, err = jsontext.AppendUnquote(buf, raw); err != nil {
		return nil, buf, err // not to be: the decoder has checked the string
	}
	text = buf[start:]
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, buf, errNUL
	}
	return text, buf, nil
}

// holdsNUL tells whether any string in the JSON, or any name, escapes a NUL.
// The escape's own backslash may be escaped, and then it is none.
func holdsNUL(raw []byte) bool {
	for {
		at := bytes.Index(raw, []byte(`\u0000`))
		if at < 0 {
			return false
		}
		before := at
		for before > 0 && raw[before-1] == '\\' {
			before--
		}
		if (at-before)%2 == 0 {
			return true
		}
		raw = raw[at+1:] // past that backslash, so that none before it counts again
	}
}

// appendBytes gives the bytes of a string of base64 in Postgres' hex form.
func appendBytes(buf, raw []byte) (text, grown []byte, err error) {
	encoded := raw[1 : len(raw)-1]
	if bytes.IndexByte(encoded, '\\') >= 0 { // some write / as \/
		if encoded, err = jsontext.AppendUnquote(nil, raw); err != nil {
			return nil, buf, err
		}
	}
	encoding := base64.RawStdEncoding
	urls := bytes.ContainsAny(encoded, "-_")
	padded := bytes.IndexByte(encoded, '=') >= 0
	switch {
	case urls && padded:
		encoding = base64.URLEncoding
	case urls:
		encoding = base64.RawURLEncoding
	case padded:
		encoding = base64.StdEncoding
	}
	// The bytes go to where the second half of their hex will be: hex.Encode
	// reads each before it writes over it, as it writes two for one.
	start := len(buf)
	size := encoding.DecodedLen(len(encoded))
	buf = slices.Grow(buf, 2+3*size)
	decoded := buf[start+2+2*size : start+2+3*size]
	n, err := encoding.Strict().Decode(decoded, encoded)
	if err != nil {
		var corrupt base64.CorruptInputError
		if errors.As(err, &corrupt) {
			return nil, buf, fmt.Errorf("not base64, at character %d", int64(corrupt)+1)
		}
		return nil, buf, err
	}
	buf = append(buf, '\\', 'x')
	buf = hex.AppendEncode(buf, decoded[:n])
	return buf[start:], buf, nil
}
