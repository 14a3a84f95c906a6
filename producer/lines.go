package producer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"landfall/message"
)

// byteOrderMark is what some programs write before UTF-8 text.
const byteOrderMark = "\xef\xbb\xbf"

// lineReader splits a body into its lines. It never holds more of a line than
// limit, however long the line is.
type lineReader struct {
	r     *bufio.Reader
	limit int             // longest line that is returned, in bytes without its end
	long  []byte          // a line that does not fit into r's buffer
	hold  func(bytes int) // told when long takes so much more memory
	begun bool
	vain  int // bytes read since something came of them; whoever uses a line sets it back
}

// next returns the next line without its end (LF or CR LF); it is valid until
// the next call. A line longer than the limit is read over, and not whole.
//
// A last line without an end counts only if the body has ended properly:
// whatever breaks off may have broken off in the middle of a number.
func (l *lineReader) next() (line []byte, whole bool, err error) {
	if !l.begun {
		l.begun = true
		l.skipMark()
	}
	l.long = l.long[:0]
	size := 0
	for {
		part, err := l.r.ReadSlice('\n')
		size += len(part)
		l.vain += len(part)
		if l.vain > maxVainBytes {
			return nil, false, fmt.Errorf("%w: nothing came of the last %d bytes", errVain, l.vain)
		}
		if size > len(part) || errors.Is(err, bufio.ErrBufferFull) {
			// Room for the line's end, so that a line at the limit is known from a longer one.
			had := cap(l.long)
			l.long = append(l.long, part[:min(len(part), l.limit+len("\r\n")-len(l.long))]...)
			l.hold(cap(l.long) - had)
			part = l.long
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || size == 0):
			return nil, false, err
		}
		if size > l.limit+len("\r\n") {
			return nil, false, nil
		}
		part = bytes.TrimSuffix(part, []byte("\n"))
		part = bytes.TrimSuffix(part, []byte("\r"))
		return part, len(part) <= l.limit, nil
	}
}

// skipMark skips the byte order mark, if there is one. It waits for a second
// byte only if the first is the mark's: a client may send one short line, and
// more of them later.
func (l *lineReader) skipMark() {
	for n := 1; n <= len(byteOrderMark); n++ {
		head, err := l.r.Peek(n)
		if err != nil || string(head) != byteOrderMark[:n] {
			return
		}
	}
	_, _ = l.r.Discard(len(byteOrderMark)) // they are in the buffer
}

// ndjson are the items of an NDJSON body: one JSON text a line, under the id
// KEY/N with the line's number N in the body. Blank lines are counted, so that
// an editor shows the same numbers, and skipped.
type ndjson struct {
	r      lineReader
	like   *incoming // stream, subject, the key as id, and the headers that travel with each
	before uint64    // number in front of the first line
	n      uint64    // number of the line that was read last
}

// maxVainBytes is how much of a body may bring no message before it is read no
// further: a few bytes can be decompressed into more blank lines than a day
// is long.
const maxVainBytes = 64 << 20

// readAhead is how much of a body of lines is read at a time, in bytes.
const readAhead = 64 << 10

// newLines reads a body's lines from r, the first of which has that number.
// hold is told of the memory this takes, bit by bit.
func (d *Door) newLines(r io.Reader, like *incoming, first uint64, hold func(bytes int)) (*ndjson, error) {
	// The limit is the same for every line, so that it does not depend on
	// where a repeat begins: less room for the longest id there can be.
	header := maps.Clone(like.header)
	header[message.IDHeader] = []string{lineID(like.id, math.MaxUint64)}
	limit, err := d.bodyLimit(header)
	if err != nil {
		return nil, err
	}
	hold(readAhead)
	lines := lineReader{r: bufio.NewReaderSize(r, readAhead), limit: limit, hold: hold}
	return &ndjson{r: lines, like: like, before: first - 1, n: first - 1}, nil
}

func lineID(key string, n uint64) string {
	return key + "/" + strconv.FormatUint(n, 10)
}

func (l *ndjson) next() (item, error) {
	for {
		line, whole, err := l.r.next()
		if err != nil {
			return item{}, err
		}
		l.n++
		switch {
		case !whole:
			return item{n: l.n, err: tooLarge(l.r.limit)}, nil
		case len(bytes.Trim(line, " \t\r")) == 0:
			continue
		}
		if err := validJSON(line); err != nil {
			return item{n: l.n, err: err}, nil
		}
		l.r.vain = 0
		return item{n: l.n, m: l.message(line)}, nil
	}
}

// message makes the message of a line. Its data are a copy: the next line is
// read into the same buffer while this one is in flight.
func (l *ndjson) message(line []byte) *incoming {
	m := *l.like
	m.id = lineID(l.like.id, l.n)
	m.header = maps.Clone(l.like.header)
	m.header[message.IDHeader] = []string{m.id}
	m.data = bytes.Clone(line)
	return &m
}

// number is the line that was sent under that id; ok is false for an id of
// another batch, or of another part of this one.
func (l *ndjson) number(id string) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(id, l.like.id+"/")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > l.before && n <= l.n && lineID(l.like.id, n) == id
}

// validJSON judges a line as RFC 8259 does, which asks for UTF-8 too.
func validJSON(line []byte) error {
	if !json.Valid(line) {
		var doc json.RawMessage
		return fmt.Errorf("%w: %w", errNotJSON, json.Unmarshal(line, &doc))
	}
	if !utf8.Valid(line) {
		return fmt.Errorf("%w: it is not valid UTF-8", errNotJSON)
	}
	return nil
}
