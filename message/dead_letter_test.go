package message

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is exported says which letter it is and brings the body back, text or not.
func TestDeadLetterJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for body, holds := range map[string]string{
		"{\"a\": \"\x00<\"}": `"msg_id":"i"`, "\xff\x00": `"body_bytes":"/wA="`, "": `"body":""`,
	} {
		m := Message{Seq: 4, Subject: "s\xff", Data: []byte(body), Header: map[string][]string{IDHeader: {"i"}, "A": {"\xff"}}}
		text, err := json.Marshal(&DeadLetter{Stream: "S", StreamID: 3, Message: m, SQLState: "23503", Reason: "no parent", FailedAt: at, ResolvedAt: at, Resolution: "stored"})
		if err != nil || !strings.Contains(string(text), holds) {
			t.Fatalf("%v, no %s in %s", err, holds, text)
		}
		var got DeadLetter
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(DeadLetter{Stream: "S", StreamID: 3, Message: Message{Seq: 4, Data: []byte(body)}}, got); diff != "" {
			t.Error(diff)
		}
	}
	const place = `"stream":"S","stream_id":3,"seq":4`
	for text, want := range map[string]string{
		`{"body":"x"}`:    "stream_id and seq",
		`{` + place + `}`: "body_bytes is needed",
		`{` + place + `,"body":"x","body_bytes":"AA=="}`: "one of body",
		`{` + place + `,"bodi":"x"}`:                     "unknown field",
		`[]`:                                             "cannot unmarshal",
	} {
		if err := json.Unmarshal([]byte(text), new(DeadLetter)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
