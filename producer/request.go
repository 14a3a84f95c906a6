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

// accept makes a message of a request, body and all, in the slot's room.
func (d *Door) accept(r *http.Request, escapedSubject string, s *slot) (*incoming, error) {
	m, err := d.parse(r, escapedSubject)
	if err != nil {
		return nil, err
	}
	limit, err := d.bodyLimit(m.header)
	if err != nil {
		return m, err
	}
	m.data, err = readBody(r, limit, s)
	return m, err
}

// parse judges everything of a request but its body.
func (d *Door) parse(r *http.Request, escapedSubject string) (*incoming, error) {
	subject, err := parseSubject(escapedSubject)
	if err != nil {
		return nil, err
	}
	if err := parseQuery(r); err != nil {
		return nil, err
	}
	if err := plainBody(r.Header); err != nil {
		return nil, err
	}
	id, made, err := idOf(r.Header)
	if err != nil {
		return nil, err
	}
	header, err := travelling(r.Header)
	if err != nil {
		return nil, err
	}
	header[message.IDHeader] = []string{id}
	stream, err := streamOf(d.o.Streams, subject)
	if err != nil {
		return nil, err
	}
	return &incoming{stream: stream, subject: subject, id: id, made: made, header: header}, nil
}

// parseQuery refuses every query parameter: none has a meaning for a single
// message, and one that is ignored would promise what is not done.
func parseQuery(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	if r.URL.Query().Has("ack") {
		return fmt.Errorf("%w: the answer to a single message always waits for the stream's quorum, and for nothing else", errBadQuery)
	}
	return fmt.Errorf("%w: %q", errBadQuery, r.URL.RawQuery)
}

// plainBody refuses bodies that mean something other than the message itself.
func plainBody(h http.Header) error {
	for _, v := range h.Values("Content-Type") {
		if mediaType(v) == "application/x-ndjson" {
			return fmt.Errorf("%w: application/x-ndjson is a batch, and a request takes one message", errBadMedia)
		}
	}
	for _, v := range h.Values("Content-Encoding") {
		if !strings.EqualFold(strings.TrimSpace(v), "identity") {
			return fmt.Errorf("%w: the body is compressed (%q)", errBadMedia, v)
		}
	}
	return nil
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
		case strings.HasPrefix(k, "X-Message-"):
			out[k] = vs
		}
	}
	return out, nil
}
