package producer

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"landfall/message"
)

// CloudEvents 1.0 over HTTP (its HTTP protocol binding and JSON format, both
// 1.0.2). An event becomes a message like any other: its data are the body,
// its attributes headers, and its source and id together the message's id.
//
// In binary mode the attributes are ce- headers; in structured mode the body
// is a JSON document of all of it (event_json.go); a batch is an array of such
// documents (event_batch.go).
const (
	eventType = "application/cloudevents+json"
	batchType = "application/cloudevents-batch+json"
)

// Header names of an event's attributes in the message: lower case, as the
// specification writes them, whatever HTTP made of them.
const eventPrefix = "ce-"

// isEvent tells whether the request is a CloudEvent in binary mode: it has one
// of the headers that every event must have. Then its Content-Type is that of
// its data, whatever it is.
func isEvent(h http.Header) bool {
	return h["Ce-Id"] != nil || h["Ce-Source"] != nil || h["Ce-Type"] != nil || h["Ce-Specversion"] != nil
}

// attributes are those of one event by name, in the specification's canonical
// string form. datacontenttype is among them.
type attributes map[string]string

// binaryEvent reads an event's attributes from a request's headers. travel is
// what travels of them anyway; the returned id and headers are the message's.
func binaryEvent(h http.Header, travel nats.Header) (id string, header nats.Header, err error) {
	a := attributes{}
	for _, k := range slices.Sorted(maps.Keys(h)) { // in order, so that the complaint is always the same
		name, ok := strings.CutPrefix(strings.ToLower(k), eventPrefix)
		if !ok {
			continue
		}
		if name == "datacontenttype" {
			return "", nil, fmt.Errorf("%w: attribute datacontenttype is the Content-Type here, not a header of its own", errEvent)
		}
		if len(h[k]) > 1 {
			return "", nil, fmt.Errorf("%w: attribute %s is there %d times", errEvent, name, len(h[k]))
		}
		value, err := decodeAttribute(h[k][0])
		if err != nil {
			return "", nil, fmt.Errorf("%w: attribute %s: %w", errEvent, name, err)
		}
		if err := a.set(name, value); err != nil {
			return "", nil, err
		}
	}
	switch types := travel["Content-Type"]; len(types) {
	case 0:
	case 1:
		err = a.set("datacontenttype", types[0])
	default:
		err = fmt.Errorf("%w: there are %d Content-Types", errEvent, len(types))
	}
	if err != nil {
		return "", nil, err
	}
	return a.message(travel)
}

// decodeAttribute undoes what the HTTP binding does to a value: double-quoted
// strings, which older versions of it wrote, then percent-encoding, once.
func decodeAttribute(sent string) (string, error) {
	if strings.Contains(sent, `"`) {
		var plain strings.Builder
		quoted := false
		for i := 0; i < len(sent); i++ {
			switch c := sent[i]; {
			case c == '"':
				quoted = !quoted
				continue
			case c == '\\' && quoted && i+1 < len(sent):
				i++
			}
			plain.WriteByte(sent[i])
		}
		if quoted {
			return "", fmt.Errorf("%q has a quoted string in it that does not end; a quote itself is %%22", sent)
		}
		sent = plain.String()
	}
	return url.PathUnescape(sent)
}

// set adds an attribute, if its name and value are what the specification
// asks for. What it merely advises is not insisted upon.
func (a attributes) set(name, value string) error {
	if !attributeName(name) {
		return fmt.Errorf("%w: attribute %.100q: names are of the letters a to z and digits, and not data", errEvent, name)
	}
	if _, ok := a[name]; ok {
		return fmt.Errorf("%w: attribute %s is there twice", errEvent, name)
	}
	if wrong := wrongWith(name, value); wrong != "" {
		return fmt.Errorf("%w: attribute %s %s: %.100q", errEvent, name, wrong, value)
	}
	a[name] = value
	return nil
}

func attributeName(s string) bool {
	return s != "" && s != "data" && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// wrongWith says what is wrong with an attribute's value, or "".
func wrongWith(name, value string) string {
	switch {
	case !utf8.ValidString(value):
		return "is not valid UTF-8"
	case strings.ContainsFunc(value, noAttribute):
		return "has control characters or noncharacters in it"
	case strings.Trim(value, " ") != value:
		// No part of the specification: the message's headers lose them.
		return "begins or ends with a space, which cannot be kept"
	}
	switch name {
	case "specversion":
		if value != "1.0" {
			return "is not 1.0, the version that is taken here"
		}
	case "id", "type", "subject":
		if value == "" {
			return "is empty"
		}
	case "source", "dataschema":
		u, err := url.Parse(value)
		if value == "" || err != nil || strings.ContainsFunc(value, unicode.IsSpace) || name == "dataschema" && u.Scheme == "" {
			return "is not a URI"
		}
	case "time":
		if !rfc3339(value) {
			return "is not a time of RFC 3339"
		}
	case "datacontenttype":
		if t, _, err := mime.ParseMediaType(value); err != nil || !strings.Contains(t, "/") {
			return "is not a media type"
		}
	}
	return ""
}

// noAttribute tells the characters that no attribute may have: controls, and
// what Unicode keeps for itself.
func noAttribute(r rune) bool {
	return unicode.IsControl(r) || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef
}

// rfc3339 is stricter than the time package about leading zeros and commas,
// and knows leap seconds and small letters.
func rfc3339(s string) bool {
	if len(s) < 20 || s[13] != ':' || strings.Contains(s, ",") {
		return false
	}
	if s[17:19] == "60" {
		s = s[:17] + "59" + s[19:]
	}
	_, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	return err == nil
}

// message is the message's id and headers, those included that travel anyway.
func (a attributes) message(travel nats.Header) (id string, header nats.Header, err error) {
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if _, ok := a[name]; !ok {
			return "", nil, fmt.Errorf("%w: attribute %s is missing", errEvent, name)
		}
	}
	// Two slashes, and none behind them: so source and id can be told apart,
	// and no key and no line of a batch (KEY/N) has such an id.
	id = a["source"] + "//" + url.PathEscape(a["id"])
	if len(id) > maxKey {
		return "", nil, fmt.Errorf("%w: attributes source and id make a message id of %d bytes, %d are allowed", errEvent, len(id), maxKey)
	}
	header = make(nats.Header, len(travel)+len(a)+1)
	maps.Copy(header, travel)
	delete(header, "Content-Type")
	for name, value := range a {
		if name == "datacontenttype" {
			header["Content-Type"] = []string{value}
			continue
		}
		header[eventPrefix+name] = []string{value}
	}
	header[message.IDHeader] = []string{id}
	return id, header, nil
}
