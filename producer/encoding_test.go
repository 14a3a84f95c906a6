package producer

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// gz compresses with gzip.
func gz(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

// zs compresses with zstd as a stream of unknown length does, with a window.
func zs(t *testing.T, s string, window int) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Flush(); err != nil { // and so it cannot tell its length
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// zsAll compresses with zstd as a whole, its length in front.
func zsAll(t *testing.T, s string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	return string(z.EncodeAll([]byte(s), nil))
}

func TestEncodedMessages(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	text := strings.Repeat("0123456789", 5000)
	limit := 1<<20 - headerSize(map[string][]string{"Nats-Msg-Id": {"0123456789012345678901"}})
	full, over := strings.Repeat("x", limit), strings.Repeat("x", limit+1)
	bomb := strings.Repeat("x", 64<<20)
	for _, c := range []struct {
		name, encoding, sent string
		status               int
		problem, says        string
		stored               string
	}{
		{name: "gzip", encoding: "gzip", sent: gz(text), status: 200, stored: text},
		{name: "x-gzip", encoding: "X-GZIP", sent: gz(text), status: 200, stored: text},
		{name: "gzip in two members", encoding: "gzip", sent: gz(text) + gz("and more"), status: 200, stored: text + "and more"},
		{name: "gzip of nothing", encoding: "gzip", sent: gz(""), status: 200},
		{name: "zstd", encoding: "zstd", sent: zsAll(t, text), status: 200, stored: text},
		{name: "zstd of nothing", encoding: "zstd", sent: zs(t, "", 1<<20), status: 200},
		{name: "zstd of unknown length", encoding: "zstd", sent: zs(t, text, 1<<20), status: 200, stored: text},
		{name: "zstd with a large window", encoding: "zstd", sent: zs(t, text, 128<<20), status: 200, stored: text},
		{name: "zstd in two frames", encoding: "zstd", sent: zsAll(t, text) + zsAll(t, text), status: 200, stored: text + text},
		{name: "identity", encoding: "identity", sent: text, status: 200, stored: text},
		{name: "named empty", encoding: "", sent: text, status: 200, stored: text},
		{name: "gzip at the limit", encoding: "gzip", sent: gz(full), status: 200, stored: full},
		{name: "zstd at the limit", encoding: "zstd", sent: zs(t, full, 1<<20), status: 200, stored: full},
		{name: "gzip over the limit", encoding: "gzip", sent: gz(over), status: 413, problem: "too-large", says: "it may have 1048"},
		{name: "zstd over the limit", encoding: "zstd", sent: zsAll(t, over), status: 413, problem: "too-large", says: "it may have 1048"},
		{name: "zstd of unknown length over the limit", encoding: "zstd", sent: zs(t, over, 1<<20), status: 413, problem: "too-large", says: "it may have 1048"},
		{name: "zstd over the limit in two frames", encoding: "zstd", sent: zsAll(t, full) + zs(t, over, 1<<20), status: 413, problem: "too-large", says: "it may have 1048"},
		{name: "gzip bomb", encoding: "gzip", sent: gz(bomb), status: 413, problem: "too-large", says: "it may have 1048"},
		{name: "zstd bomb", encoding: "zstd", sent: zs(t, bomb, 1<<20), status: 413, problem: "too-large", says: "it may have 1048"},
		{name: "too large as it is", encoding: "gzip", sent: strings.Repeat("x", 2<<20), status: 413, problem: "too-large", says: "it may have 1048"},
		{name: "not gzip", encoding: "gzip", sent: text, status: 400, problem: "decoding", says: "gzip"},
		{name: "not zstd", encoding: "zstd", sent: text, status: 400, problem: "decoding", says: "zstd"},
		{name: "gzip cut", encoding: "gzip", sent: gz(text)[:60], status: 400, problem: "decoding", says: "end too early"},
		{name: "gzip without its checksum", encoding: "gzip", sent: gz(text)[:len(gz(text))-8], status: 400, problem: "decoding", says: "end too early"},
		{name: "gzip with another checksum", encoding: "gzip", sent: gz(text)[:len(gz(text))-5] + "abcde", status: 400, problem: "decoding", says: "checksum"},
		{name: "zstd cut", encoding: "zstd", sent: zs(t, text, 1<<20)[:30], status: 400, problem: "decoding", says: "end too early"},
		{name: "zstd with another checksum", encoding: "zstd", sent: zsAll(t, text)[:len(zsAll(t, text))-4] + "abcd", status: 400, problem: "decoding", says: "CRC"},
		{name: "garbage after gzip", encoding: "gzip", sent: gz(text) + "garbage", status: 400, problem: "decoding", says: "gzip"},
		{name: "zeroes after gzip", encoding: "gzip", sent: gz(text) + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", status: 400, problem: "decoding", says: "gzip"},
		{name: "garbage after zstd", encoding: "zstd", sent: zsAll(t, text) + "garbage", status: 400, problem: "decoding", says: "zstd"},
		{name: "a byte after zstd", encoding: "zstd", sent: zsAll(t, text) + "g", status: 400, problem: "decoding", says: "zstd"},
		{name: "no gzip at all", encoding: "gzip", sent: "", status: 400, problem: "decoding", says: "no gzip data"},
		{name: "no zstd at all", encoding: "zstd", sent: "", status: 400, problem: "decoding", says: "no zstd data"},
	} {
		w := post("messages", c.sent, "Content-Encoding", c.encoding).at(d)
		if c.status != 200 {
			if p := refusedWith(t, w, c.status, c.problem); !strings.Contains(p.Detail, c.says) {
				t.Errorf("%s: detail %q does not say %q", c.name, p.Detail, c.says)
			}
			continue
		}
		m, found, err := storedIn(js)(t.Context(), "MESSAGES", acked(t, w).Seq)
		if err != nil || !found || string(m.Data) != c.stored {
			t.Errorf("%s: stored %d bytes (%v), want %d", c.name, len(m.Data), err, len(c.stored))
		}
		if got := m.Header["Content-Encoding"]; got != nil {
			t.Errorf("%s: Content-Encoding %q travels", c.name, got)
		}
	}
	if d.gate.messages != 0 || d.gate.bytes != 0 {
		t.Errorf("%d messages and %d bytes are left in flight", d.gate.messages, d.gate.bytes)
	}
	w := post("messages", "", "Content-Encoding", "br").at(d)
	if got := w.Header().Get("Accept-Encoding"); got != takenEncodings {
		t.Errorf("Accept-Encoding %q", got)
	}
}

// What a decoder allocates is accounted for, also when data lie about
// themselves.
func TestDecodingIsBounded(t *testing.T) {
	d := New(Options{})
	packed := []byte(zs(t, strings.Repeat("x", 64<<20), 8<<20))
	if _, err := d.decoders.decode(zstandard, packed, 1000, &slot{gate: d.gate}); err == nil { // the tables of its own
		t.Fatal("64 MiB in 1000 bytes")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := d.decoders.decode(zstandard, packed, 100_000, &slot{gate: d.gate}); err == nil {
		t.Fatal("64 MiB in 100,000 bytes")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("%d bytes were allocated for at most 100,000", got)
	}
}

// The room of the compressed body is free when the message is there.
func TestDecodedRoom(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 5000)
	for e, packed := range map[encoding]string{gzipped: gz(text), zstandard: zsAll(t, text)} {
		d := New(Options{})
		s := &slot{gate: d.gate}
		if err := s.grow(len(packed)); err != nil {
			t.Fatal(err)
		}
		plain, err := d.decoders.decode(e, []byte(packed)[:len(packed):len(packed)], 1<<20, s)
		if err != nil || string(plain) != text || s.bytes != int64(cap(plain)) || d.gate.bytes != s.bytes {
			t.Errorf("%s: %v; %d bytes, room for %d", e, err, cap(plain), s.bytes)
		}
	}
}
