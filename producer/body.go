package producer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// readBody reads a whole body, decoded, of at most limit bytes into the slot's
// room. A body that breaks off or is too slow is an error: nothing of it is
// published.
func (d *Door) readBody(r *http.Request, e encoding, limit int, s *slot) ([]byte, error) {
	wire := limit
	if e != identity {
		wire += limit/64 + 1024 // what cannot be compressed becomes a little longer
	}
	if r.ContentLength > int64(wire) {
		return nil, tooLarge(limit)
	}
	sent, err := readAll(r.Body, r.ContentLength, wire, s)
	if err != nil {
		return nil, bodyError(err)
	}
	return d.decoders.decode(e, sent, limit, s)
}

// readAll reads to the end, at most limit bytes. size is how many there will
// be, or -1. A known size is reserved at once; otherwise the room grows with
// what comes, so that many small bodies do not look like large ones.
func readAll(r io.Reader, size int64, limit int, s *slot) ([]byte, error) {
	first := min(4096, limit+1)
	if size >= 0 {
		first = int(size) + 1 // one more, to see the end without growing
	}
	if err := s.grow(first); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, first)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, fmt.Errorf("after %d bytes: %w", len(buf), err)
		}
		if len(buf) == cap(buf) {
			more := min(cap(buf), limit+1-cap(buf))
			if err := s.grow(more); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, cap(buf)+more), buf...)
		}
	}
}

func tooLarge(limit int) error {
	return fmt.Errorf("%w: beside its headers it may have %d bytes", errTooLarge, limit)
}

// bodyError says why a body could not be read from its connection.
func bodyError(err error) error {
	switch {
	case isRefusal(err):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", errBodySlow, err)
	}
	return fmt.Errorf("%w: %w", errBodyBroken, err)
}

// batchBody is a batch's body, decoded and capped.
type batchBody struct {
	wire  *pacedBody
	enc   encoding
	plain io.Reader
	close func() // frees the decoder
	limit int64  // bytes of plain that are taken
	left  int64  // of them
	err   error  // the end, for good
}

// openBatch begins to read a batch. memory is asked for what the decoder
// needs. Close the body in every case but an error.
func openBatch(wire *pacedBody, e encoding, limit int64, memory func(int) error) (*batchBody, error) {
	b := &batchBody{wire: wire, enc: e, limit: limit, left: limit}
	var err error
	if b.plain, b.close, err = decompressed(e, wire, memory); err != nil {
		return nil, b.refusal(err)
	}
	return b, nil
}

func (b *batchBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.plain.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = b.refusal(err)
	} else if err != nil {
		b.err = io.EOF
	}
	if int64(n) > b.left {
		n, b.err = int(b.left), fmt.Errorf("%w: a batch may have %d bytes when it is decompressed", errBatchTooLarge, b.limit)
	}
	b.left -= int64(n)
	return n, b.err
}

// refusal finds the true reason: the connection's, if there is one, else the
// data's.
func (b *batchBody) refusal(err error) error {
	if b.wire.err != nil && !errors.Is(b.wire.err, io.EOF) {
		return b.wire.err
	}
	if isRefusal(err) {
		return err
	}
	return undecodable(b.enc, err)
}
