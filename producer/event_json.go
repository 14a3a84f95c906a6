package producer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// maxDocument is how long an event's JSON document may be, when its message
// may have maxPayload bytes: twice that, since base64 takes a third more than
// the data, and each quote in a text is written as two characters.
func maxDocument(maxPayload int) int { return 2 * maxPayload }

// structuredEvent reads an event from its JSON document. travel is what
// travels of the request's headers anyway; ce- headers beside the document
// only repeat what it says. id, header and data are the message's.
func structuredEvent(doc []byte, travel nats.Header) (id string, header nats.Header, data []byte, err error) {
	if !utf8.Valid(doc) {
		return "", nil, nil, fmt.Errorf("%w: its JSON is not valid UTF-8", errEvent)
	}
	members, err := membersOf(doc)
	if err != nil {
		return "", nil, nil, err
	}
	text, base64Text := members["data"], members["data_base64"]
	delete(members, "data")
	delete(members, "data_base64")
	if string(base64Text) == "null" {
		base64Text = nil
	}
	a := attributes{}
	for _, name := range slices.Sorted(maps.Keys(members)) { // in order, so that the complaint is always the same
		value, set, err := attributeValue(members[name])
		if err != nil {
			return "", nil, nil, fmt.Errorf("%w: attribute %.100s %w", errEvent, name, err)
		}
		if !set {
			continue
		}
		if err := a.set(name, value); err != nil {
			return "", nil, nil, err
		}
	}
	if _, ok := a["datacontenttype"]; !ok && (text != nil || base64Text != nil) {
		a["datacontenttype"] = "application/json" // what the format says it means
	}
	if data, err = dataOf(text, base64Text, a["datacontenttype"]); err != nil {
		return "", nil, nil, fmt.Errorf("%w: %w", errEvent, err)
	}
	id, header, err = a.message(travel)
	return id, header, data, err
}

// membersOf are the members of a JSON object, each as it was written. A member
// that is there twice is refused: which of the two is meant cannot be known.
func membersOf(doc []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%w: it is not a JSON object", errEvent)
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: its JSON is broken: %w", errEvent, err)
		}
		key, _ := name.(string) // the decoder takes nothing else there
		if _, ok := members[key]; ok {
			return nil, fmt.Errorf("%w: member %.100q is there twice", errEvent, key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("%w: its JSON is broken at member %.100q: %w", errEvent, key, err)
		}
		members[key] = value
	}
	if _, err := dec.Token(); err != nil { // the closing brace, or something wrong
		return nil, fmt.Errorf("%w: its JSON is broken: %w", errEvent, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows its JSON object", errEvent)
	}
	return members, nil
}

// attributeValue is an attribute's canonical string. null is as good as not
// set.
func attributeValue(raw json.RawMessage) (value string, set bool, err error) {
	switch raw[0] {
	case 'n':
		return "", false, nil
	case 't', 'f':
		return string(raw), true, nil
	case '"':
		value, err = textOf(raw)
		return value, true, err
	case '{', '[':
		return "", false, errors.New("is neither a string nor a boolean nor an integer")
	}
	n, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		return "", false, fmt.Errorf("is a number, but not an integer of 32 bits, the only kind that attributes have; write it as a string: %.100s", raw)
	}
	return strconv.FormatInt(n, 10), true, nil
}

// dataOf are the event's data. JSON data stay as they were written, with all
// their digits; text of another type is the text itself.
func dataOf(text, base64Text json.RawMessage, contentType string) ([]byte, error) {
	switch {
	case text != nil && base64Text != nil:
		return nil, errors.New("it has both data and data_base64")
	case base64Text != nil:
		if base64Text[0] != '"' {
			return nil, errors.New("data_base64 is not a string")
		}
		s, err := textOf(base64Text)
		if err != nil {
			return nil, fmt.Errorf("data_base64 %w", err)
		}
		data, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, fmt.Errorf("data_base64: %w", err)
		}
		return data, nil
	case text != nil && text[0] == '"' && !isJSON(contentType):
		s, err := textOf(text)
		if err != nil {
			return nil, fmt.Errorf("data %w", err)
		}
		return []byte(s), nil
	}
	return text, nil
}

// isJSON tells whether data of that type are JSON, as the JSON format has it:
// */json or */*+json.
func isJSON(contentType string) bool {
	_, subtype, _ := strings.Cut(mediaType(contentType), "/")
	return subtype == "json" || strings.HasSuffix(subtype, "+json")
}

// textOf is a JSON string's text. One half of a surrogate pair is no text:
// decoded it would be U+FFFD, and two different ids could become one.
func textOf(raw json.RawMessage) (string, error) {
	if !bytes.ContainsRune(raw, '\\') {
		return string(raw[1 : len(raw)-1]), nil // as nearly all are
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", err
	}
	if strings.ContainsRune(s, utf8.RuneError) && hasLoneSurrogate(raw) {
		return "", errors.New("has one half of a surrogate pair in it")
	}
	return s, nil
}

// hasLoneSurrogate looks through the escapes of a JSON string that is known to
// be well-formed.
func hasLoneSurrogate(raw []byte) bool {
	unit := func(at int) uint64 { // the UTF-16 code unit of the escape there, or 0
		if at+6 > len(raw) || raw[at] != '\\' || raw[at+1] != 'u' {
			return 0
		}
		u, _ := strconv.ParseUint(string(raw[at+2:at+6]), 16, 16)
		return u
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		switch u := unit(i); {
		case u >= 0xd800 && u < 0xdc00:
			if low := unit(i + 6); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		case u >= 0xdc00 && u <= 0xdfff:
			return true
		default:
			i++ // so that an escaped backslash does not begin another escape
		}
	}
	return false
}
