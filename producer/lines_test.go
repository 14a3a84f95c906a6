package producer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// readLines reads a body to its end, and tells every item in a word.
func readLines(d *Door, r io.Reader, first uint64) (told []string, err error) {
	like := &incoming{stream: "MESSAGES", subject: "messages", id: "k", header: nats.Header{"Content-Type": {"application/json"}}}
	ls, err := d.newLines(r, like, first, func(int) {})
	if err != nil {
		return nil, err
	}
	for {
		it, err := ls.next()
		if err != nil {
			return told, err
		}
		switch {
		case it.err != nil:
			told = append(told, fmt.Sprintf("%d %s", it.n, refusalOf(it.err).name))
		case it.m.id != fmt.Sprintf("k/%d", it.n) || it.m.header.Get("Nats-Msg-Id") != it.m.id || it.m.stream != "MESSAGES" || it.m.made:
			told = append(told, fmt.Sprintf("message %+v", it.m))
		default:
			told = append(told, fmt.Sprintf("%d %s", it.n, it.m.data))
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	d := New(Options{MaxPayload: 1000})
	long := `"` + strings.Repeat("x", 1000) + `"`
	for name, c := range map[string]struct {
		sent string
		told []string
	}{
		"empty":                    {"", nil},
		"one":                      {"{}\n", []string{"1 {}"}},
		"no end":                   {"{}\n[1]", []string{"1 {}", "2 [1]"}},
		"CR LF":                    {"{}\r\n[1]\r\n", []string{"1 {}", "2 [1]"}},
		"CR at the end":            {"{}\r", []string{"1 {}"}},
		"CR CR LF":                 {"{}\r\r\n", []string{"1 {}\r"}},
		"blank":                    {"\n\n{}\n \t\r\n\r\n2", []string{"3 {}", "6 2"}},
		"only blank":               {"\n\r\n  ", nil},
		"byte order mark":          {"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n{}", []string{"1 {}", "2 not-json", "3 {}"}},
		"half a byte order mark":   {"\xef\xbb", []string{"1 not-json"}},
		"bad ones between":         {"{}\n{\n{} {}\n{}\n\"\xff\"\nnull\n", []string{"1 {}", "2 not-json", "3 not-json", "4 {}", "5 not-json", "6 null"}},
		"too long":                 {"1\n" + long + "\n2\n" + strings.Repeat(long, 1000) + "\n3\n" + long, []string{"1 1", "2 too-large", "3 2", "4 too-large", "5 3", "6 too-large"}},
		"white space stays inside": {"  1 \n", []string{"1   1 "}},
	} {
		for way, r := range map[string]io.Reader{
			"at once": strings.NewReader(c.sent), "byte by byte": iotest.OneByteReader(strings.NewReader(c.sent)),
			"with the end": iotest.DataErrReader(strings.NewReader(c.sent)),
		} {
			told, err := readLines(d, r, 1)
			if diff := cmp.Diff(c.told, told); diff != "" || err != io.EOF { //nolint:errorlint // it must not be wrapped
				t.Errorf("%s, %s: %v (-want +got):\n%s", name, way, err, diff)
			}
		}
	}
	told, _ := readLines(d, strings.NewReader("1\n2\n"), 41)
	if diff := cmp.Diff([]string{"41 1", "42 2"}, told); diff != "" {
		t.Errorf("from line 41 on (-want +got):\n%s", diff)
	}
}

// The longest line is one that the server takes, for every number it may have.
func TestLongestLine(t *testing.T) {
	t.Parallel()
	d, _, _ := opened(t, Options{})
	like := &incoming{id: "k", header: nats.Header{}}
	ls, err := d.newLines(nil, like, 1, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{"1", "9007199254740991"} {
		for n, want := range map[int]int{ls.r.limit: 200, ls.r.limit + 1: 422} {
			line := `"` + strings.Repeat("x", n-2-len("Content-Type: application/json\r\n")) + `"`
			w := post("messages?first_line="+first, line+"\r\n", "Content-Type", "application/x-ndjson", "Idempotency-Key", "k").at(d)
			if w.Code != want {
				t.Errorf("line %s of %d bytes: %d %s", first, n, w.Code, w.Body)
			}
		}
	}
}

// A body that breaks off has no last line.
func TestLinesBreakOff(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken off")
	told, err := readLines(New(Options{}), io.MultiReader(strings.NewReader("1\n2\n3"), iotest.ErrReader(broken)), 1)
	if diff := cmp.Diff([]string{"1 1", "2 2"}, told); diff != "" || !errors.Is(err, broken) {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	told, err = readLines(New(Options{}), iotest.ErrReader(broken), 1)
	if len(told) != 0 || !errors.Is(err, broken) {
		t.Errorf("%q, %v", told, err)
	}
}

// The memory that lines take while they are read is counted: the buffer from
// the beginning, and that of long lines as it grows, once.
func TestLinesHoldMemory(t *testing.T) {
	t.Parallel()
	held := 0
	long := `"` + strings.Repeat("x", 300<<10) + `"`
	ls, err := New(Options{}).newLines(strings.NewReader("1\n"+long+"\n"+long+"\n"+long[:200<<10]), &incoming{id: "k", header: nats.Header{}}, 1, func(n int) { held += n })
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, len(long), len(long), len(long)} {
		if _, err := ls.next(); err != nil {
			t.Fatal(err)
		}
		if want += readAhead; held < want || held > want*3/2 || i > 0 && held != readAhead+cap(ls.r.long) {
			t.Errorf("line %d: %d bytes are counted, about %d are held", i+1, held, want)
		}
	}
}

// What is in flight stays as it was read, whatever is read after it.
func TestLinesAreCopies(t *testing.T) {
	t.Parallel()
	ls, err := New(Options{}).newLines(strings.NewReader("11\n22\n"), &incoming{id: "k", header: nats.Header{}}, 1, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	ls.r.r = bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader("11"+strings.Repeat(" ", 14)+"\n22"+strings.Repeat(" ", 14)+"\n")), 16)
	var all []item
	for it, err := ls.next(); err == nil; it, err = ls.next() {
		all = append(all, it)
	}
	if len(all) != 2 || strings.TrimSpace(string(all[0].m.data)) != "11" || all[0].m.header.Get("Nats-Msg-Id") != "k/1" {
		t.Errorf("%d items; the first has become %+v", len(all), all[0].m)
	}
}

func TestLineNumbers(t *testing.T) {
	t.Parallel()
	ls := &ndjson{like: &incoming{id: "k"}, n: math.MaxUint64}
	for id, want := range map[string]uint64{"k/1": 1, "k/18446744073709551615": 1<<64 - 1, "k": 0, "k/": 0, "k/01": 0, "k/+1": 0, "kk/1": 0, "k/1/1": 0, "": 0} {
		if n, ok := ls.number(id); n != want && ok || ok != (want > 0) {
			t.Errorf("%q: %d, %v", id, n, ok)
		}
	}
	part := &ndjson{like: &incoming{id: "k"}, before: 4, n: 6} // lines 5 and 6
	for n, want := range map[uint64]bool{4: false, 5: true, 6: true, 7: false} {
		if _, ok := part.number(lineID("k", n)); ok != want {
			t.Errorf("line %d of another request: %v", n, ok)
		}
	}
}

// naps reads as much as chance says.
type naps struct {
	r      io.Reader
	chance *rand.Rand
}

func (n naps) Read(p []byte) (int, error) {
	return n.r.Read(p[:min(len(p), 1+n.chance.IntN(40))])
}

// However a body is cut into reads, its lines are the same: those that
// strings.Split finds.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "\n", "a\nb", "a\r\nb\r\n", "\xef\xbb\xbfa", "\xef\xbb", "\r", "aaaaaaaaaaaaaaaaaaaa\nb", "aaaaaaaaaaaa\r\n", "\r\r\n", strings.Repeat("a", 100)} {
		f.Add([]byte(s), uint64(1), uint8(10))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64, limit uint8) {
		var want []string
		rest := string(bytes.TrimPrefix(body, []byte(byteOrderMark)))
		for rest != "" {
			line, after, _ := strings.Cut(rest, "\n")
			rest = after
			if line = strings.TrimSuffix(line, "\r"); len(line) > int(limit) {
				line = "too long"
			}
			want = append(want, line)
		}
		r := naps{bytes.NewReader(body), rand.New(rand.NewPCG(seed, 0))}
		l := lineReader{r: bufio.NewReaderSize(r, 16), limit: int(limit), hold: func(int) {}}
		var got []string
		for {
			line, whole, err := l.next()
			if err != nil {
				if err != io.EOF { //nolint:errorlint // it must not be wrapped
					t.Fatal(err)
				}
				break
			}
			if !whole {
				line = []byte("too long")
			}
			got = append(got, string(line))
			if cap(l.long) > 4*(int(limit)+16) {
				t.Fatalf("%d bytes are held of a line", cap(l.long))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
