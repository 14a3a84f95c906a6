package producer

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"landfall/cluster"
	"landfall/message"
)

// stateOf is the answer about one sequence.
type stateOf struct {
	Stream      string        `json:"stream"`
	Seq         uint64        `json:"seq"`
	State       message.State `json:"state"`
	DuplicateOf uint64        `json:"duplicate_of,omitempty"`
	Reason      string        `json:"reason,omitempty"`
	SQLState    string        `json:"sqlstate,omitempty"`
}

// serveReceipt tells what has become of a sequence. place is STREAM/SEQ as the
// path has it. A sequence that the stream does not have yet is pending, too:
// only Postgres is asked, and it cannot know.
func (d *Door) serveReceipt(w http.ResponseWriter, r *http.Request, place string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		d.refuse(w, r, nil, fmt.Errorf("%w, not a %s", errGetMethod, r.Method))
		return
	}
	got, err := d.receiptAt(r, place)
	if err != nil {
		d.refuse(w, r, nil, err)
		return
	}
	respond(w, http.StatusOK, "application/json", got)
}

func (d *Door) receiptAt(r *http.Request, place string) (*stateOf, error) {
	stream, seq, err := d.parsePlace(place)
	if err != nil {
		return nil, err
	}
	b := d.backend.Load()
	switch {
	case r.URL.RawQuery != "":
		return nil, fmt.Errorf("%w: %q; a receipt takes none", errBadQuery, r.URL.RawQuery)
	case b == nil:
		return nil, d.notOpen()
	case b.Receipts == nil:
		return nil, fmt.Errorf("%w: this node has nobody who could", errNotAsked)
	}
	ctx, cancel := context.WithTimeout(r.Context(), d.o.Deadline)
	defer cancel()
	got, err := b.Receipts.Receipt(ctx, stream, seq)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotAsked, err)
	}
	return &stateOf{
		Stream: stream, Seq: seq, State: got.State,
		DuplicateOf: got.Of, Reason: got.Reason, SQLState: got.SQLState,
	}, nil
}

// parsePlace reads STREAM/SEQ.
func (d *Door) parsePlace(place string) (stream string, seq uint64, err error) {
	escaped, number, _ := strings.Cut(place, "/")
	stream, err = url.PathUnescape(escaped)
	if err != nil || !d.has(stream) {
		return "", 0, fmt.Errorf("%w %q; there are: %s", errUnknownStream, stream, strings.Join(names(d.o.Streams), ", "))
	}
	seq, err = strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 {
		return "", 0, fmt.Errorf("%w: %q", errBadSequence, number)
	}
	return stream, seq, nil
}

// has tells whether there is such a stream.
func (d *Door) has(stream string) bool {
	_, ok := d.bells[stream]
	return ok
}

func names(streams []cluster.Stream) []string {
	out := make([]string, len(streams))
	for i, s := range streams {
		out[i] = s.Name
	}
	return out
}
