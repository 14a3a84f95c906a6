package producer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// document is a small event with more members.
func document(more string) string {
	return `{"specversion":"1.0","type":"org.example.parcel.weighed","source":"/scales/7","id":"w-1"` + more + `}`
}

// What the JSON format shows by its examples, with parcels.
func TestStructuredEvent(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]struct{ contentType, data, ext string }{
		`, "datacontenttype":"application/vnd.scale", "data_base64":"AAH/"`:                    {"application/vnd.scale", "\x00\x01\xff", ""},
		`, "datacontenttype":"application/xml", "data":"<much wow=\"xml\"\/>"`:                 {"application/xml", `<much wow="xml"/>`, ""},
		`, "datacontenttype":"application/json", "data": {"g" : 12.50, "n":9007199254740993} `: {"application/json", `{"g" : 12.50, "n":9007199254740993}`, ""},
		`, "datacontenttype":"text/json; charset=utf-8", "data":"a\u0062"`:                     {"text/json; charset=utf-8", `"a\u0062"`, ""},
		`, "datacontenttype":"application/x+JSON", "data":"s"`:                                 {"application/x+JSON", `"s"`, ""},
		`, "datacontenttype":"text/plain", "data":{"not":"text"}`:                              {"text/plain", `{"not":"text"}`, ""},
		`, "data":"I am just a string"`:                                                        {"application/json", `"I am just a string"`, ""},
		`, "data":null`:                                                                        {"application/json", "null", ""},
		`, "data":[{"a":1,"a":2}]`:                                                             {"application/json", `[{"a":1,"a":2}]`, ""},
		`, "data":1, "data_base64":null`:                                                       {"application/json", "1", ""},
		`, "data_base64":"AQ=="`:                                                               {"application/json", "\x01", ""},
		`, "subject":null, "unset" : null`:                                                     {"", "", ""},
		`, "ext":"a \ud83d\ude00 \\ud800 \ufffd"`:                                              {"", "", "a 😀 \\ud800 \ufffd"},
		`, "ext": 5`:          {"", "", "5"},
		`, "ext":-2147483648`: {"", "", "-2147483648"},
		`, "ext":true`:        {"", "", "true"},
	} {
		id, header, data, err := structuredEvent([]byte(document(more)), nats.Header{"Content-Type": {eventType}, "X-Message-A": {"b"}})
		if err != nil {
			t.Errorf("%s: %v", more, err)
			continue
		}
		wanted := nats.Header{
			"Nats-Msg-Id": {"/scales/7//w-1"}, "X-Message-A": {"b"},
			"ce-specversion": {"1.0"}, "ce-type": {"org.example.parcel.weighed"}, "ce-source": {"/scales/7"}, "ce-id": {"w-1"},
		}
		if want.contentType != "" {
			wanted["Content-Type"] = []string{want.contentType}
		}
		if want.ext != "" {
			wanted["ce-ext"] = []string{want.ext}
		}
		if diff := cmp.Diff(wanted, header); diff != "" || id != "/scales/7//w-1" || string(data) != want.data {
			t.Errorf("%s: id %s, data %q, headers (-want +got):\n%s", more, id, data, diff)
		}
	}
}

func TestNoStructuredEvent(t *testing.T) {
	t.Parallel()
	for doc, says := range map[string]string{
		``:                                "not a JSON object",
		`[]`:                              "not a JSON object",
		`null`:                            "not a JSON object",
		`{}`:                              "attribute specversion is missing",
		`{"specversion":"1.0"`:            "JSON is broken",
		`{"specversion":"1.0",}`:          "JSON is broken",
		`{"specversion" "1.0"}`:           `broken at member "specversion"`,
		`{1:2}`:                           "JSON is broken",
		document("") + `{}`:               "something follows",
		document("") + `x`:                "something follows",
		document(`,"x":"` + "\xff" + `"`): "not valid UTF-8",
		document(`,"id":"w-2"`):           `member "id" is there twice`,
		document(`,"data":1,"data":1`):    `member "data" is there twice`,
		document(`,"data":1,"data_base64":"AA=="`):              "both data and data_base64",
		document(`,"data_base64":1`):                            "data_base64 is not a string",
		document(`,"data_base64":"A"`):                          "data_base64: illegal base64",
		document(`,"myExt":"a"`):                                `attribute "myExt": names are`,
		document(`,"my_ext":"a"`):                               `attribute "my_ext": names are`,
		document(`,"x":{}`):                                     "attribute x is neither a string nor",
		document(`,"x":[1]`):                                    "attribute x is neither a string nor",
		document(`,"x":1.5`):                                    "attribute x is a number, but not an integer",
		document(`,"x":1e3`):                                    "attribute x is a number, but not an integer",
		document(`,"x":2147483648`):                             "attribute x is a number, but not an integer",
		document(`,"x":"\u0000"`):                               "attribute x has control characters",
		document(`,"x":"\ud800"`):                               "attribute x has one half of a surrogate pair",
		document(`,"x":"\ude00\ud83d"`):                         "attribute x has one half of a surrogate pair",
		document(`,"x":"\ud83d\u0061"`):                         "attribute x has one half of a surrogate pair",
		document(`,"datacontenttype":"a/b","data":"\udead"`):    "data has one half of a surrogate pair",
		document(`,"time":"2021-13-01T00:00:00Z"`):              "attribute time is not a time",
		document(`,"datacontenttype":""`):                       "attribute datacontenttype is not a media type",
		strings.Replace(document(""), `"1.0"`, `1.0`, 1):        "attribute specversion is a number, but",
		strings.Replace(document(""), `"w-1"`, `null`, 1):       "attribute id is missing",
		strings.Replace(document(""), `"1.0"`, `"1.0.2"`, 1):    "attribute specversion is not 1.0",
		document(`,"data":` + strings.Repeat("[", 20_000)):      "JSON is broken",
		document(`,"x":"` + strings.Repeat("y", 9_000) + `\t"`): "attribute x has control characters",
	} {
		_, _, _, err := structuredEvent([]byte(doc), nil)
		if !errors.Is(err, errEvent) || !strings.Contains(err.Error(), says) || len(err.Error()) > 400 {
			t.Errorf("%.200s: %v, want %s", doc, err, says)
		}
	}
}

// FuzzStructuredEvent: an event that is taken says the same in binary mode,
// and what is taken is JSON that encoding/json reads alike.
func FuzzStructuredEvent(f *testing.F) {
	for _, s := range []string{
		document(""), document(`,"data":{"a":[1,2.0]}`), document(`,"data_base64":"AAH/"`), document(`,"x":"\ud83d\ude00\\"`),
		document(`,"datacontenttype":"text/plain","data":"a\n"`), document(`,"x":-0`), `{"id":1}`, `[]`, `{"a":"\u`, " " + document(`,"time":"2021-03-04T05:06:07Z"`) + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		id, header, data, err := structuredEvent(doc, nil)
		if err != nil {
			if !errors.Is(err, errEvent) {
				t.Fatalf("another kind of error: %v", err)
			}
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(doc, &plain); err != nil || !utf8.Valid(doc) {
			t.Fatalf("taken, and yet no JSON: %v", err)
		}
		for name, v := range plain {
			if name == "data" || name == "data_base64" || name == "datacontenttype" || v == nil {
				continue
			}
			if n, ok := v.(float64); ok {
				v = int64(n)
			}
			if got := header.Values("ce-" + name); len(got) != 1 || got[0] != fmt.Sprint(v) {
				t.Errorf("attribute %s: %q, want %v", name, got, v)
			}
		}
		if ct := header.Get("Content-Type"); ct != "" && isJSON(ct) && plain["data_base64"] == nil && len(data) > 0 && !json.Valid(data) {
			t.Errorf("data %q are no JSON", data)
		}
		again, header2, err := binaryEvent(asBinary(header), nats.Header{"Content-Type": header["Content-Type"]})
		if diff := cmp.Diff(header, header2); err != nil || again != id || diff != "" {
			t.Errorf("in binary mode: id %s, not %s, %v, headers (-structured +binary):\n%s", again, id, err, diff)
		}
	})
}
