package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// events are the items of a batch of CloudEvents: an array of documents, read
// one by one. It holds one document at a time.
type events struct {
	door *Door
	like *incoming // stream, subject, and the headers that travel with each
	in   *allowance
	dec  *json.Decoder
	n    uint64 // number of the event that was read last
	open bool   // the array has begun
	doc  json.RawMessage
	hold func(bytes int) // told when doc takes so much more memory
}

// besideDocument is how often a document is in memory while it is read: in
// the decoder's buffer, which is up to twice as large, as the document, and
// as its members and data.
const besideDocument = 4

// newEvents reads a batch from r. like is what its messages have in common.
// hold is told of the memory this takes, bit by bit.
func (d *Door) newEvents(r io.Reader, like *incoming, hold func(bytes int)) *events {
	in := &allowance{r: r}
	return &events{door: d, like: like, in: in, dec: json.NewDecoder(in), hold: hold}
}

// next is the next event. One that is well-formed JSON but no event is refused
// alone; JSON that is broken or a document that is too long ends the batch,
// because it cannot be known where the next one begins.
func (e *events) next() (item, error) {
	e.in.left = e.dec.InputOffset() + int64(maxDocument(e.door.o.MaxPayload)) - e.in.read
	if !e.open {
		t, err := e.dec.Token()
		if err != nil {
			return item{}, e.broken(err)
		}
		if t != json.Delim('[') {
			return item{}, fmt.Errorf("%w: a batch of events is a JSON array", errEvent)
		}
		e.open = true
	}
	if !e.dec.More() {
		return item{}, e.end()
	}
	had := cap(e.doc)
	if err := e.dec.Decode(&e.doc); err != nil {
		return item{}, e.broken(err)
	}
	e.hold(besideDocument * (cap(e.doc) - had))
	e.n++
	m, err := e.message()
	return item{n: e.n, m: m, err: err}, nil
}

// message makes the message of the document at hand.
func (e *events) message() (*incoming, error) {
	id, header, data, err := structuredEvent(e.doc, e.like.header)
	if err != nil {
		return nil, err
	}
	limit, err := e.door.bodyLimit(header)
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, tooLarge(limit)
	}
	return &incoming{stream: e.like.stream, subject: e.like.subject, id: id, header: header, data: data}, nil
}

// end sees that the array ends properly and that nothing follows it.
func (e *events) end() error {
	if _, err := e.dec.Token(); err != nil {
		return e.broken(err)
	}
	switch _, err := e.dec.Token(); {
	case e.in.err != nil:
		return e.broken(err)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("%w: something follows the array", errEvent)
}

// broken says why the batch cannot be read on, and after which event: for the
// reader's own reason, or because the JSON is at fault.
func (e *events) broken(err error) error {
	switch {
	case errors.Is(e.in.err, errAllowance):
		return fmt.Errorf("%w: what follows event %d is longer than %d bytes", errTooLarge, e.n, maxDocument(e.door.o.MaxPayload))
	case e.in.err != nil:
		return fmt.Errorf("after event %d: %w", e.n, e.in.err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the array does not end; its last whole event is number %d", errEvent, e.n)
	}
	return fmt.Errorf("%w: the JSON is broken after event %d: %w", errEvent, e.n, err)
}

// allowance passes on so many bytes and no more, until it is given more.
type allowance struct {
	r    io.Reader
	read int64 // bytes in all
	left int64 // bytes still allowed
	err  error // why reading ended before the end
}

var errAllowance = errors.New("the allowance is used up")

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		a.err = errAllowance
		return 0, errAllowance
	}
	n, err := a.r.Read(p[:min(int64(len(p)), a.left)])
	a.read += int64(n)
	a.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		a.err = err
	}
	return n, err
}
