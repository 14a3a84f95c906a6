package producer

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"landfall/message"
)

// incoming is one message on its way into a stream.
type incoming struct {
	stream  string
	subject string
	id      string
	made    bool        // the id was made here; no client can have used it before
	header  nats.Header // what travels, the id included
	data    []byte
}

// msg is the message as it is sent; each attempt gets its own headers' map,
// because publishing may write to it.
func (m *incoming) msg() *nats.Msg {
	h := make(nats.Header, len(m.header))
	for k, vs := range m.header {
		h[k] = vs
	}
	return &nats.Msg{Subject: m.subject, Header: h, Data: m.data}
}

// form is what a body holds.
type form int

const (
	plain          form = iota // one message, as it is
	binaryMode                 // the data of a CloudEvent; its attributes are headers
	structuredMode             // a CloudEvent as one JSON document
	batchOfLines               // NDJSON
	batchOfEvents              // CloudEvents in a JSON array
)

func (f form) isBatch() bool { return f == batchOfLines || f == batchOfEvents }

// formOf tells the form by the headers. CloudEvents' own headers come first:
// with them the Content-Type is that of the data.
func formOf(h http.Header) form {
	types := h.Values("Content-Type")
	has := func(wanted ...string) bool {
		return slices.ContainsFunc(types, func(v string) bool { return slices.Contains(wanted, mediaType(v)) })
	}
	switch {
	case has(batchType):
		return batchOfEvents
	case has(eventType):
		return structuredMode
	case isEvent(h):
		return binaryMode
	case has("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines"):
		return batchOfLines
	}
	return plain
}

// request is what is known of a request before its body is read.
type request struct {
	query
	form     form
	encoding encoding

	// like is a single message but for its data, or what the messages of a
	// batch have in common; then its id is the key, if there is one.
	like incoming
}

// parse judges everything of a request but its body.
func (d *Door) parse(r *http.Request, escapedSubject string) (*request, error) {
	q := &request{form: formOf(r.Header)}
	var err error
	if q.like.subject, err = parseSubject(escapedSubject); err != nil {
		return nil, err
	}
	if q.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return nil, err
	}
	if q.first != 0 && q.form != batchOfLines {
		return nil, fmt.Errorf("%w: first_line is for NDJSON", errBadQuery)
	}
	if q.encoding, err = encodingOf(r.Header); err != nil {
		return nil, err
	}
	if q.like.header, err = travelling(r.Header); err != nil {
		return nil, err
	}
	if err := q.identify(r.Header); err != nil {
		return nil, err
	}
	q.like.stream, err = streamOf(d.o.Streams, q.like.subject)
	return q, err
}

// identify finds the message's id, or what makes one with each message of a
// batch, and the headers that depend on it.
func (q *request) identify(h http.Header) error {
	m := &q.like
	var err error
	switch q.form {
	case plain:
		m.id, m.made, err = idOf(h)
		m.header[message.IDHeader] = []string{m.id}
	case batchOfLines:
		if h.Values("Idempotency-Key") == nil {
			return errNoKey
		}
		m.id, _, err = idOf(h)
		m.header["Content-Type"] = []string{"application/json"}
	default:
		if h.Values("Idempotency-Key") != nil {
			return fmt.Errorf("%w: the source and the id of a CloudEvent are its key", errBadKey)
		}
		if q.form == binaryMode {
			m.id, m.header, err = binaryEvent(h, m.header)
		}
	}
	return err
}

// accept reads a single message's body in the slot's room, and makes the
// message of it. It returns the message as far as it is known, also on errors.
func (d *Door) accept(r *http.Request, q *request, s *slot) (*incoming, error) {
	m := q.like
	if q.form == structuredMode {
		doc, err := d.readBody(r, q.encoding, maxDocument(d.o.MaxPayload), s)
		if err != nil {
			return nil, err
		}
		if m.id, m.header, m.data, err = structuredEvent(doc, q.like.header); err != nil {
			return nil, err
		}
	}
	limit, err := d.bodyLimit(m.header)
	if err == nil {
		err = s.grow(headerSize(m.header))
	}
	switch {
	case err != nil:
		return &m, err
	case q.form != structuredMode:
		m.data, err = d.readBody(r, q.encoding, limit, s)
	case len(m.data) > limit:
		err = tooLarge(limit)
	}
	return &m, err
}

// mediaType is a Content-Type without its parameters. It does not insist on a
// well-formed one, so that a slip in a parameter cannot hide the type.
func mediaType(v string) string {
	t, _, _ := strings.Cut(v, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// travelling picks the HTTP headers that travel with the message:
//
//   - Content-Type, unless it is application/x-www-form-urlencoded, which
//     `curl -d` sends with anything, so that it tells nothing;
//   - traceparent and tracestate, in lower case as W3C writes them;
//   - Landfall-Op, for a table of the user's own;
//   - every header that begins with X-Message-, in HTTP's canonical case.
//
// Nothing else does: what proxies and clients add on the way (cookies, keys,
// addresses) must not end up in a database by accident. Nats-* headers are
// commands to JetStream, and refused.
func travelling(h http.Header) (nats.Header, error) {
	out := make(nats.Header, 4)
	for k, vs := range h {
		switch {
		case strings.HasPrefix(k, "Nats-"):
			return nil, fmt.Errorf("%w: %s; the message's id is the Idempotency-Key, and your own headers begin with X-Message-", errNatsHeader, k)
		case k == "Content-Type":
			vs = slices.DeleteFunc(slices.Clone(vs), func(v string) bool {
				return mediaType(v) == "application/x-www-form-urlencoded"
			})
			if len(vs) > 0 {
				out[k] = vs
			}
		case k == "Traceparent" || k == "Tracestate":
			out[strings.ToLower(k)] = vs
		case strings.HasPrefix(k, "X-Message-"), k == message.OpHeader:
			out[k] = vs
		}
	}
	return out, nil
}
