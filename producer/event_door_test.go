package producer

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An event is one message, whichever way it comes, and however often.
func TestEventsThroughTheDoor(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	data := `{"g":12.50}`
	structured := func(data string) call {
		return post("messages.scales", document(`,"datacontenttype":"application/json","data":`+data+`,"shift":2`), "Content-Type", eventType+"; charset=utf-8", "traceparent", "00-1-2-01")
	}
	binary := post("messages.scales", data, "Content-Type", "application/json", "ce-shift", "2", "traceparent", "00-1-2-01")
	for k, vs := range anEvent() {
		binary.header[k] = vs
	}
	want := receipt{Stream: "MESSAGES", Seq: 1, MsgID: "/scales/7//w-1"}
	if got := acked(t, structured(data).at(d)); got != want {
		t.Errorf("structured: %+v, want %+v", got, want)
	}
	want.Duplicate = true
	if got := acked(t, binary.at(d)); got != want {
		t.Errorf("binary: %+v, want %+v", got, want)
	}
	if got := acked(t, structured(data).at(d)); got != want {
		t.Errorf("structured again: %+v, want %+v", got, want)
	}
	refusedWith(t, structured(`{"g":12.5}`).at(d), 422, "key-reused")
	binary.body = "other"
	refusedWith(t, binary.at(d), 422, "key-reused")

	m, found, err := storedIn(js)(t.Context(), "MESSAGES", 1)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	header := map[string][]string{
		"Nats-Msg-Id": {"/scales/7//w-1"}, "Content-Type": {"application/json"}, "traceparent": {"00-1-2-01"}, "ce-shift": {"2"},
		"ce-specversion": {"1.0"}, "ce-type": {"org.example.parcel.weighed"}, "ce-source": {"/scales/7"}, "ce-id": {"w-1"},
	}
	if diff := cmp.Diff(header, m.Header); diff != "" || string(m.Data) != data || m.Subject != "messages.scales" {
		t.Errorf("stored %q under %q, headers (-want +got):\n%s", m.Data, m.Subject, diff)
	}
	if n := state(t, js, "MESSAGES").LastSeq; n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// The data may be as large as any message's, however they are written.
func TestLargestEvent(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	fits := func(extra int) call {
		_, header, _, err := structuredEvent([]byte(document(`,"datacontenttype":"a/b","data":""`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		limit, err := d.bodyLimit(header)
		if err != nil {
			t.Fatal(err)
		}
		quotes := (limit + extra) / 2
		text := strings.Repeat(`\"`, quotes) + strings.Repeat("x", limit+extra-quotes)
		return post("messages", document(`,"datacontenttype":"a/b","data":"`+text+`"`), "Content-Type", eventType)
	}
	acked(t, fits(0).at(d))
	refusedWith(t, fits(1).at(d), 413, "too-large")
	refusedWith(t, post("messages", document(`,"data":"`+strings.Repeat(" ", maxDocument(1<<20))+`"`), "Content-Type", eventType).at(d), 413, "too-large")
	if n := state(t, js, "MESSAGES").LastSeq; n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestRefusedEvents(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	for says, c := range map[string]call{
		"400 key the source and the id of a CloudEvent are its key": post("messages", document(""), "Content-Type", eventType, "Idempotency-Key", "k"),
		"400 cloudevent attribute specversion is missing":           post("messages", "x", "ce-id", "1"),
		"400 cloudevent it is not a JSON object":                    post("messages", "", "Content-Type", eventType),
		"400 cloudevent attribute x begins or ends with a space":    post("messages", document(`,"x":" a"`), "Content-Type", eventType),
		"431 headers-too-large they take":                           post("messages", document(`,"x":"`+strings.Repeat("x", maxHeaderBytes)+`"`), "Content-Type", eventType),
	} {
		var status int
		var name string
		if _, err := fmt.Sscan(says, &status, &name); err != nil {
			t.Fatal(err)
		}
		if p := refusedWith(t, c.at(d), status, name); !strings.Contains(p.Detail, strings.SplitN(says, " ", 3)[2]) {
			t.Errorf("detail %q, want %s", p.Detail, says)
		}
	}
	if n := state(t, js, "MESSAGES").LastSeq; n != 0 {
		t.Errorf("%d messages were stored", n)
	}
}

// A batch of events: bad ones are refused alone, all others are stored once.
func TestEventBatchThroughTheDoor(t *testing.T) {
	t.Parallel()
	d, _, js := opened(t, Options{})
	one := func(id, data string) string {
		return `{"specversion":"1.0","type":"t","source":"/s","id":"` + id + `","data":` + data + `}`
	}
	send := func(docs ...string) call {
		return post("messages", "["+strings.Join(docs, ",")+"]", "Content-Type", batchType, "X-Message-Tenant", "a")
	}
	refusedWith(t, send(one("1", "1"), `{"id":"2"}`, one("3", "3")).at(d), 422, "lines")
	if w := send(one("1", "1"), one("2", "2"), one("3", "3")).at(d); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"duplicates":2`) {
		t.Errorf("repeated with what was missing: %d %s", w.Code, w.Body)
	}
	if got := acked(t, post("messages", one("3", "3"), "Content-Type", eventType).at(d)); !got.Duplicate || got.MsgID != "/s//3" {
		t.Errorf("one of the batch by itself: %+v", got)
	}
	refusedWith(t, send(one("1", "10"), one("4", "4")).at(d), 422, "lines")
	refusedWith(t, post("messages", "["+one("5", "5")+",{", "Content-Type", batchType).at(d), 400, "cloudevent")
	if w := send().at(d); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"messages":0`) {
		t.Errorf("no events: %d %s", w.Code, w.Body)
	}
	var stored []string
	for seq := range state(t, js, "MESSAGES").LastSeq {
		m, _, err := storedIn(js)(t.Context(), "MESSAGES", seq+1)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, m.ID()+" "+string(m.Data)+" "+strings.Join(m.Header["X-Message-Tenant"], ""))
	}
	if diff := cmp.Diff([]string{"/s//1 1 a", "/s//3 3 a", "/s//2 2 a", "/s//4 4 a", "/s//5 5 "}, stored); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}
