package producer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoding is how a request's body is compressed.
type encoding string

const (
	identity  encoding = ""
	gzipped   encoding = "gzip"
	zstandard encoding = "zstd"
)

// takenEncodings is what a client may read about them, also as the header
// Accept-Encoding of a refusal (RFC 9110, section 12.5.3).
const takenEncodings = "gzip, zstd, identity"

// encodingOf reads the Content-Encoding: one at a time.
func encodingOf(h http.Header) (encoding, error) {
	sent := strings.Join(h.Values("Content-Encoding"), ",")
	found := identity
	for name := range strings.SplitSeq(sent, ",") {
		e := identity
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "", "identity":
			continue
		case "gzip", "x-gzip":
			e = gzipped
		case "zstd":
			e = zstandard
		}
		if e == identity || found != identity {
			return identity, fmt.Errorf("%w: %q", errBadEncoding, sent)
		}
		found = e
	}
	return found, nil
}

// decoders decompress bodies that are in memory already. There are only so
// many of them, because none waits for a client.
type decoders struct {
	gzip chan *gzip.Reader // nil: not yet made
	zstd *zstd.Decoder
}

func newDecoders() decoders {
	n := 2 * runtime.GOMAXPROCS(0)
	d := decoders{gzip: make(chan *gzip.Reader, n)}
	for range n {
		d.gzip <- nil
	}
	// It writes only where the caller has made room, so the frames' windows
	// cost nothing, and it may not fail: there is no reader, and the options
	// are constant.
	d.zstd, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(n), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	return d
}

// decode decompresses a whole body of at most limit bytes into the slot's
// room, and frees that of the compressed one.
func (d *decoders) decode(e encoding, packed []byte, limit int, s *slot) ([]byte, error) {
	var plain []byte
	var err error
	switch {
	case e == identity:
		return packed, nil
	case len(packed) == 0:
		return nil, fmt.Errorf("%w: there are no %s data", errDecoding, e)
	case e == gzipped:
		plain, err = d.gunzip(packed, limit, s)
	default:
		plain, err = d.unzstd(packed, limit, s)
	}
	if err != nil {
		return nil, err
	}
	s.shrink(cap(packed))
	return plain, nil
}

func (d *decoders) gunzip(packed []byte, limit int, s *slot) ([]byte, error) {
	z := <-d.gzip
	if z == nil {
		z = new(gzip.Reader)
	}
	defer func() { d.gzip <- z }()
	if err := z.Reset(bytes.NewReader(packed)); err != nil {
		return nil, undecodable(gzipped, err)
	}
	plain, err := readAll(z, -1, limit, s)
	if err != nil && !isRefusal(err) {
		err = undecodable(gzipped, err)
	}
	return plain, err
}

// blockRoom is what a decoder may write in one go: a block, and a little over
// its end.
const blockRoom = 128<<10 + 64

func (d *decoders) unzstd(packed []byte, limit int, s *slot) ([]byte, error) {
	// Room for a block over the limit, so that a body that is too large is
	// known from one that is broken: to the decoder a block that does not fit
	// is as wrong as any.
	largest := limit + blockRoom
	size := min(4*len(packed)+blockRoom, largest)
	var h zstd.Header
	if err := h.Decode(packed); err == nil && h.HasFCS {
		size = int(min(h.FrameContentSize+1, uint64(largest))) // it tells the size, or lies
	}
	for {
		if err := s.grow(size); err != nil {
			return nil, err
		}
		plain, err := d.zstd.DecodeAll(packed, make([]byte, 0, size))
		switch {
		case len(plain) > limit:
			return nil, tooLarge(limit)
		case err == nil:
			return plain, nil
		case size == largest && errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return nil, tooLarge(limit)
		case size == largest:
			return nil, undecodable(zstandard, err)
		}
		s.shrink(size)
		size = largest
	}
}

// undecodable says what is wrong with compressed data.
func undecodable(e encoding, err error) error {
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: they need more memory for their zstd window than a batch has (%d bytes at most, and no more than the first frame needs or %d); compress with --long=23 or less, as one frame", errDecoding, maxWindow, usualWindow)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the %s data end too early", errDecoding, e)
	}
	return fmt.Errorf("%w: %s: %w", errDecoding, e, err)
}

const (
	// maxWindow is the largest zstd window of a batch. Levels up to 19 need no
	// more; RFC 8878 asks decoders for 8 MiB too.
	maxWindow = 8 << 20

	// usualWindow is what the zstd command uses for large files by default. A
	// batch has it also if its first frame needs less, because files that are
	// appended to each other may begin with a small one.
	usualWindow = 2 << 20

	// besideWindow is about what a streaming decoder takes beside the window.
	besideWindow = 1 << 20
)

// decompressed reads the decoded bytes of a batch. memory is asked for what
// the decoder needs, and may refuse. The returned function frees the decoder.
func decompressed(e encoding, r io.Reader, memory func(n int) error) (io.Reader, func(), error) {
	switch e {
	case gzipped:
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	case zstandard:
		br := bufio.NewReader(r)
		window, err := windowOf(br)
		if err != nil {
			return nil, nil, err
		}
		if err := memory(window + besideWindow); err != nil {
			return nil, nil, err
		}
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(window)))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}

// windowOf is the window to be allowed, by the header of the first frame.
func windowOf(br *bufio.Reader) (int, error) {
	head, err := br.Peek(zstd.HeaderMaxSize)
	if len(head) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return 0, err
	}
	need := h.WindowSize
	switch {
	case h.SingleSegment:
		need = h.FrameContentSize
	case h.Skippable:
		need = maxWindow // it says nothing of those that follow
	}
	if need > maxWindow {
		return 0, zstd.ErrWindowSizeExceeded
	}
	return int(max(need, usualWindow)), nil
}
