package store

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"landfall/message"
)

// The binary COPY format: a header, rows of counted fields, a trailer.
// https://www.postgresql.org/docs/current/sql-copy.html ("Binary Format")
const (
	copyHeader  = "PGCOPY\n\377\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\377\377"

	// columnList names the columns that Encode writes; stored_at takes its default.
	columnList  = "stream_id, seq, subject, content, content_bytes, headers, msg_id, published_at"
	columnCount = 8

	// postgresEpoch is 2000-01-01, where binary timestamps count from, in Unix microseconds.
	postgresEpoch = 946_684_800 * 1_000_000
)

// Encode appends the message's row to dst, as binary COPY wants it. It judges
// nothing: whatever Postgres would refuse is written as it is, so that
// Postgres refuses it and says why.
func (s *Stream) Encode(dst []byte, m *message.Message) []byte {
	if s.own != nil {
		return s.own.encode(dst, m)
	}
	return appendRow(dst, s.id, m)
}

func appendRow(dst []byte, streamID int64, m *message.Message) []byte {
	dst = binary.BigEndian.AppendUint16(dst, columnCount)
	dst = appendInt8(dst, streamID)
	dst = appendInt8(dst, int64(m.Seq))
	dst = appendField(dst, m.Subject)
	if isText(m.Data) {
		dst = appendField(dst, m.Data)
		dst = appendNull(dst)
	} else {
		dst = appendNull(dst)
		dst = appendField(dst, m.Data)
	}
	dst = appendHeaders(dst, m.Header)
	if id := m.ID(); id != "" {
		dst = appendField(dst, id)
	} else {
		dst = appendNull(dst)
	}
	return appendInt8(dst, m.Time.UnixMicro()-postgresEpoch)
}

// isText tells whether Postgres takes the bytes as text.
func isText(b []byte) bool {
	return bytes.IndexByte(b, 0) < 0 && utf8.Valid(b)
}

func appendNull(dst []byte) []byte { return append(dst, 0xff, 0xff, 0xff, 0xff) }

func appendInt8(dst []byte, v int64) []byte {
	dst = binary.BigEndian.AppendUint32(dst, 8)
	return binary.BigEndian.AppendUint64(dst, uint64(v))
}

func appendField[T string | []byte](dst []byte, v T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
	return append(dst, v...)
}

// appendHeaders writes the headers as a jsonb object of arrays, or NULL. A
// single message id is left out: it has a column of its own.
func appendHeaders(dst []byte, h map[string][]string) []byte {
	rest := len(h)
	if len(h[message.IDHeader]) == 1 {
		rest--
	}
	if rest == 0 {
		return appendNull(dst)
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 1) // length, filled in below; version of jsonb's binary form
	open := byte('{')
	for key, values := range h {
		if key == message.IDHeader && len(values) == 1 {
			continue
		}
		dst = append(dst, open)
		dst = appendJSONString(dst, key)
		dst = append(dst, ':', '[')
		for i, v := range values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, v)
		}
		dst = append(dst, ']')
		open = ','
	}
	dst = append(dst, '}')
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// appendJSONString quotes s and changes nothing else: encoding/json would
// replace invalid UTF-8, and the header stored would not be the one sent.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// wireHeaders writes headers as NATS sends them, so that a dead letter can be
// published again as it was. The order of the keys is not kept.
func wireHeaders(h map[string][]string) []byte {
	if len(h) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteString("NATS/1.0\r\n")
	for key, values := range h {
		for _, v := range values {
			b.WriteString(key + ": " + v + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// readable makes a text that any text column takes, from what Postgres said.
func readable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
