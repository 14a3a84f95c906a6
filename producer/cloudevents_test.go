package producer

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// headersOf makes headers of key, value, key, value.
func headersOf(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// anEvent are the headers of a small event, and more of them.
func anEvent(more ...string) http.Header {
	return headersOf(append([]string{
		"ce-specversion", "1.0", "ce-type", "org.example.parcel.weighed", "ce-source", "/scales/7", "ce-id", "w-1",
	}, more...)...)
}

func TestBinaryEvent(t *testing.T) {
	t.Parallel()
	h := anEvent("CE-Time", "2021-03-04T05:06:07.89+01:00", "ce-subject", "Euro%20%E2%82%AC%20%f0%9f%98%80", "ce-dataschema", "urn:parcel:1",
		"ce-comexampleextension1", `"two \"words\" \\"%20and+more`, "ce-empty", "", "ce-path", `C:\"d e"+`, "Content-Type", "application/xml")
	travel := nats.Header{"Content-Type": {"application/xml"}, "X-Message-A": {"b"}, "traceparent": {"00-1-2-01"}}
	id, header, err := binaryEvent(h, travel)
	if err != nil {
		t.Fatal(err)
	}
	want := nats.Header{
		"Nats-Msg-Id":    {"/scales/7//w-1"},
		"ce-specversion": {"1.0"}, "ce-type": {"org.example.parcel.weighed"}, "ce-source": {"/scales/7"}, "ce-id": {"w-1"},
		"ce-time": {"2021-03-04T05:06:07.89+01:00"}, "ce-subject": {"Euro € 😀"}, "ce-dataschema": {"urn:parcel:1"},
		"ce-comexampleextension1": {`two "words" \ and+more`}, "ce-empty": {""}, "ce-path": {`C:\d e+`},
		"Content-Type": {"application/xml"}, "X-Message-A": {"b"}, "traceparent": {"00-1-2-01"},
	}
	if diff := cmp.Diff(want, header); diff != "" || id != "/scales/7//w-1" {
		t.Errorf("id %s, headers (-want +got):\n%s", id, diff)
	}
}

func TestNoBinaryEvent(t *testing.T) {
	t.Parallel()
	without := func(name string) http.Header { h := anEvent(); h.Del(name); return h }
	with := func(name, value string) http.Header { h := anEvent(); h.Set(name, value); return h }
	for says, h := range map[string]http.Header{
		"attribute specversion is missing":                     without("ce-specversion"),
		"attribute id is missing":                              without("ce-id"),
		"attribute source is missing":                          without("ce-source"),
		"attribute type is missing":                            without("ce-type"),
		"attribute specversion is not 1.0":                     with("ce-specversion", "0.3"),
		"attribute id is empty":                                with("ce-id", ""),
		"attribute type is empty":                              with("ce-type", `""`),
		"attribute subject is empty":                           with("ce-subject", ""),
		`attribute source is not a URI: ""`:                    with("ce-source", ""),
		`attribute source is not a URI: "a b"`:                 with("ce-source", "a%20b"),
		`attribute source is not a URI: ":x"`:                  with("ce-source", ":x"),
		"attribute dataschema is not a URI":                    with("ce-dataschema", "relative/path"),
		"attribute time is not a time of RFC 3339":             with("ce-time", "yesterday"),
		`RFC 3339: "2021-03-04T5:06:07Z"`:                      with("ce-time", "2021-03-04T5:06:07Z"),
		"attribute x has control characters":                   with("ce-x", "a%0Ab"),
		"control characters or noncharacters in it: \"\\u0085": with("ce-x", "%c2%85"),
		"noncharacters in it: \"\\ufdd0":                       with("ce-x", "%ef%b7%90"),
		"attribute x is not valid UTF-8":                       with("ce-x", "%C0%A0"),
		`attribute y is not valid UTF-8: "\xff"`:               with("ce-y", "\xff"),
		"attribute x begins or ends with a space":              with("ce-x", "%20a"),
		`attribute x: invalid URL escape "%"`:                  with("ce-x", "100%"),
		"attribute x: \"a\\\"b\" has a quoted string":          with("ce-x", `a"b`),
		`attribute "my-own": names are of`:                     with("ce-my-own", "1"),
		`attribute "data": names are of`:                       with("ce-data", "1"),
		`attribute "": names are of`:                           with("ce-", "1"),
		"attribute datacontenttype is the Content-Type here":   with("ce-datacontenttype", "a/b"),
		"attribute datacontenttype is not a media type":        with("Content-Type", "nonsense"),
		"attribute id is there 2 times":                        anEvent("ce-id", "w-2"),
		"there are 2 Content-Types":                            anEvent("Content-Type", "a/b", "Content-Type", "a/c"),
		"a message id of 513 bytes, 512 are allowed":           with("ce-id", strings.Repeat("x", maxKey-len("/scales/7//")+1)),
	} {
		travel, err := travelling(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := binaryEvent(h, travel); !errors.Is(err, errEvent) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %s", h, err, says)
		}
	}
	for _, taken := range []http.Header{
		with("ce-id", strings.Repeat("x", maxKey-len("/scales/7//"))),
		with("ce-source", "1-555-123-4567"), with("ce-source", "mailto:a@example.org"), with("ce-source", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
		with("ce-time", "1990-12-31T23:59:60Z"), with("ce-time", "1985-04-12t23:20:50.52z"), with("Cookie", "a%"),
	} {
		if _, _, err := binaryEvent(taken, nil); err != nil {
			t.Errorf("%v: %v", taken, err)
		}
	}
}

func TestIsEvent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ce-id", "ce-source", "ce-type", "ce-specversion"} {
		if !isEvent(headersOf(name, "")) {
			t.Errorf("%s alone does not make an event", name)
		}
	}
	if isEvent(headersOf("ce-time", "x", "Content-Type", "application/json", "X-Ce-Id", "1")) {
		t.Error("something else makes an event")
	}
}

// Different events have different ids, and no other kind of id is one of
// theirs.
func TestEventIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	parts := []string{"a", "b", "/", "//", "a/", "/a", "a//b", "%2F", "%2f"}
	for _, source := range parts {
		for _, id := range parts {
			a := attributes{"specversion": "1.0", "type": "t", "source": source, "id": id}
			got, _, err := a.message(nil)
			if err != nil {
				t.Fatal(err)
			}
			event := fmt.Sprintf("%q %q", source, id)
			if other, ok := seen[got]; ok {
				t.Errorf("%s and %s are both %s", event, other, got)
			}
			seen[got] = event
			if _, err := parseKey(got); err == nil {
				t.Errorf("%s is also a key", got)
			}
			if before, _, _ := strings.Cut(got, "/"); !strings.Contains(got, "//") || strings.TrimPrefix(got, before+"/") == "1" {
				t.Errorf("%s is also the id of a line", got)
			}
		}
	}
}

// FuzzBinaryEvent: what is taken of a header is what its sender meant.
func FuzzBinaryEvent(f *testing.F) {
	for _, s := range []string{"plain", "two words", "100%", `"quoted"`, "€😀", "a\x00", " a", "\xff", `\`, `a"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, _, _ = binaryEvent(anEvent("ce-x", value), nil) // whatever is sent
		encoded := strings.ReplaceAll(url.PathEscape(value), `"`, "%22")
		_, header, err := binaryEvent(anEvent("ce-x", encoded), nil)
		if wrong := wrongWith("x", value); (err == nil) != (wrong == "") {
			t.Fatalf("%q: %v, and it %s", value, err, wrong)
		}
		if err == nil && header["ce-x"][0] != value {
			t.Errorf("%q became %q", value, header["ce-x"][0])
		}
	})
}

// asBinary writes the headers of an event's message as the HTTP binding does.
func asBinary(header nats.Header) http.Header {
	h := http.Header{}
	for _, k := range slices.Sorted(maps.Keys(header)) {
		if k == "Content-Type" {
			h[k] = header[k]
		} else if strings.HasPrefix(k, eventPrefix) {
			h.Set(k, url.PathEscape(header[k][0]))
		}
	}
	return h
}
