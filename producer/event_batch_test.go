package producer

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"
)

// readBatch reads a batch of events to its end, and tells every item in a
// word: its data, or why it is refused.
func readBatch(d *Door, r io.Reader) (told []string, err error) {
	es := d.newEvents(r, &incoming{stream: "MESSAGES", subject: "messages.x", header: nats.Header{"X-Message-A": {"b"}}}, func(int) {})
	for {
		it, err := es.next()
		if err != nil {
			return told, err
		}
		switch {
		case it.n != uint64(len(told)+1):
			told = append(told, fmt.Sprintf("number %d", it.n))
		case it.err != nil:
			told = append(told, refusalOf(it.err).name+": "+it.err.Error())
		case it.m.stream != "MESSAGES" || it.m.subject != "messages.x" || it.m.made || it.m.id != it.m.header.Get("Nats-Msg-Id") || it.m.header["X-Message-A"][0] != "b":
			told = append(told, fmt.Sprintf("message %+v", it.m))
		default:
			told = append(told, string(it.m.data))
		}
	}
}

func TestEventBatch(t *testing.T) {
	t.Parallel()
	d := New(Options{Streams: theStreams, MaxPayload: 4096})
	one, two, bad := document(`,"data":1`), document(`,"data":"two"`), `{"specversion":"1.0"}`
	large := document(`,"datacontenttype":"a/b","data":"` + strings.Repeat("x", 5000) + `"`)
	tooLong := document(`,"data":"` + strings.Repeat("x", maxDocument(4096)) + `"`)
	broken := errors.New("broken off")
	for name, c := range map[string]struct {
		sent string
		told []string // beginnings
		err  error
		says string
	}{
		"two":                  {"\n[ " + one + " ,\n" + two + "] ", []string{"1", `"two"`}, io.EOF, ""},
		"none":                 {"[]", nil, io.EOF, ""},
		"bad ones between":     {"[" + bad + "," + one + ",null,[7],5]", []string{"cloudevent: ", "1", "cloudevent: ", "cloudevent: ", "cloudevent: "}, io.EOF, ""},
		"data too large":       {"[" + large + "," + one + "]", []string{"too-large: ", "1"}, io.EOF, ""},
		"headers too large":    {"[" + document(`,"x":"`+strings.Repeat("x", 4096)+`"`) + "," + one + "]", []string{"headers-too-large: ", "1"}, io.EOF, ""},
		"document too long":    {"[" + one + "," + tooLong + "," + one + "]", []string{"1"}, errTooLarge, "what follows event 1 is longer than 8192 bytes"},
		"white space for ever": {"[" + strings.Repeat(" ", 9000) + one + "]", nil, errTooLarge, "event 0"},
		"and after the end":    {"[" + one + "]" + strings.Repeat(" ", 9000), []string{"1"}, errTooLarge, "event 1"},
		"empty":                {"", nil, errEvent, "does not end"},
		"an object":            {one, nil, errEvent, "is a JSON array"},
		"no JSON":              {"ce", nil, errEvent, "broken after event 0"},
		"ends early":           {"[" + one + "," + two, []string{"1", `"two"`}, errEvent, "last whole event is number 2"},
		"ends within":          {"[" + one + "," + two[:20], []string{"1"}, errEvent, "last whole event is number 1"},
		"ends with a comma":    {"[" + one + ",", []string{"1"}, errEvent, "last whole event is number 1"},
		"comma too many":       {"[" + one + ",]", []string{"1"}, errEvent, "broken after event 1"},
		"comma missing":        {"[" + one + two + "]", []string{"1"}, errEvent, "broken after event 1"},
		"wrong bracket":        {"[" + one + "}", []string{"1"}, errEvent, "broken after event 1"},
		"more behind":          {"[" + one + "] []", []string{"1"}, errEvent, "something follows"},
		"rubbish behind":       {"[" + one + "]x", []string{"1"}, errEvent, "something follows"},
	} {
		told, err := readBatch(d, strings.NewReader(c.sent))
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) || len(told) != len(c.told) {
			t.Errorf("%s: %.200q, %v", name, told, err)
			continue
		}
		for i := range told {
			if !strings.HasPrefix(told[i], c.told[i]) {
				t.Errorf("%s: item %d is %.100q, want %q", name, i, told[i], c.told[i])
			}
		}
		// A reader's own error is passed on, wherever it comes.
		for at := 0; at <= len(c.sent); at += 97 {
			before, err := readBatch(d, io.MultiReader(strings.NewReader(c.sent[:at]), iotest.ErrReader(broken)))
			if len(before) > len(told) || errors.Is(c.err, io.EOF) && !errors.Is(err, broken) {
				t.Errorf("%s, broken off at %d: %d items, %v", name, at, len(before), err)
			}
		}
	}
}

// However large a batch is, no more of it is held than one document, and each
// document has the whole allowance, wherever reads happen to end.
func TestEventBatchStreams(t *testing.T) {
	t.Parallel()
	const limit = 2000
	d := New(Options{Streams: theStreams, MaxPayload: limit})
	rapid.Check(t, func(t *rapid.T) {
		var want []string
		var sent []string
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			data := strings.Repeat("x", rapid.IntRange(0, limit-300).Draw(t, "size"))
			want = append(want, data)
			pad := strings.Repeat(" ", rapid.IntRange(0, maxDocument(limit)-limit-1).Draw(t, "white space"))
			sent = append(sent, pad+document(`,"datacontenttype":"text/plain","data":"`+data+`"`))
		}
		var r io.Reader = strings.NewReader("[" + strings.Join(sent, ",") + "]")
		if rapid.Bool().Draw(t, "one byte at a time") {
			r = iotest.OneByteReader(r)
		}
		counted := &allowance{r: r, left: 1 << 30}
		es := d.newEvents(counted, &incoming{}, func(int) {})
		read := int64(0)
		for i, data := range want {
			it, err := es.next()
			if err != nil || it.err != nil || string(it.m.data) != data {
				t.Fatalf("event %d: %+v, %v", i+1, it, err)
			}
			if read += int64(len(sent[i]) + 1); counted.read > read+int64(maxDocument(limit)) {
				t.Fatalf("%d bytes were read for events of %d", counted.read, read)
			}
		}
		if it, err := es.next(); err != io.EOF { //nolint:errorlint // io.EOF itself is the proper end
			t.Fatalf("at the end: %+v, %v", it, err)
		}
	})
}

// The memory that documents take while they are read is counted.
func TestEventsHoldMemory(t *testing.T) {
	t.Parallel()
	held := 0
	long := document(`,"data":"` + strings.Repeat("x", 300<<10) + `"`)
	es := New(Options{}).newEvents(strings.NewReader("["+document("")+","+long+","+long+"]"), &incoming{}, func(n int) { held += n })
	for i, size := range []int{len(document("")), len(long), len(long)} {
		if it, err := es.next(); err != nil || it.err != nil {
			t.Fatal(err, it.err)
		}
		if want := besideDocument * size; held < want || held > want*3/2+4096 {
			t.Errorf("event %d: %d bytes are counted, about %d are held", i+1, held, want)
		}
	}
}

// FuzzEventBatch: whatever is sent, reading comes to an end, with an answer.
func FuzzEventBatch(f *testing.F) {
	for _, s := range []string{"[]", "[" + document("") + "]", "[" + document("") + ",{}", "[[[[", "{", "[1,,2]", "[]]", `["\u`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		d := New(Options{Streams: theStreams, MaxPayload: 1024})
		if _, err := readBatch(d, strings.NewReader(string(sent))); !errors.Is(err, io.EOF) && refusalOf(err).status == 500 {
			t.Errorf("%q: %v", sent, err)
		}
	})
}
