package sink

import (
	"testing"
	"time"

	"landfall/message"
)

func TestJudge(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)
	at := func(when time.Time, id string) *message.Message {
		m := &message.Message{Seq: 10, Time: when}
		if id != "" {
			m.Header = map[string][]string{message.IDHeader: {id}}
		}
		return m
	}
	known := message.Cursor{Seq: 10, Last: message.Fingerprint{Time: noon, ID: "a"}}
	unknown := message.Cursor{Seq: 10} // a gap ended there
	tests := map[string]struct {
		last  uint64
		cur   message.Cursor
		found bool
		at    *message.Message
		want  verdict
	}{
		"new to Postgres":                      {20, message.Cursor{}, false, nil, begin},
		"nothing on either side":               {0, message.Cursor{}, true, nil, resume},
		"nothing stored yet":                   {20, message.Cursor{}, true, nil, resume},
		"same message":                         {20, known, true, at(noon, "a"), resume},
		"same instant, another zone":           {20, known, true, at(noon.In(time.FixedZone("", 3600)), "a"), resume},
		"all stored":                           {10, known, true, at(noon, "a"), resume},
		"the message at the cursor is gone":    {20, known, true, nil, resume},
		"another time":                         {20, known, true, at(noon.Add(1), "a"), cut},
		"another id":                           {20, known, true, at(noon, "b"), cut},
		"an id where none was":                 {20, message.Cursor{Seq: 10, Last: message.Fingerprint{Time: noon}}, true, at(noon, "b"), cut},
		"ends before the cursor":               {9, known, true, nil, cut},
		"emptied and numbered anew":            {0, known, true, nil, cut},
		"behind a gap":                         {20, unknown, true, nil, resume},
		"behind a gap, a message there":        {20, unknown, true, at(noon, "a"), cut},
		"behind a gap, ends before the cursor": {9, unknown, true, nil, cut},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := judge(message.Stream{First: 1, Last: tt.last}, tt.cur, tt.found, tt.at); got != tt.want {
				t.Errorf("verdict %v, want %v", got, tt.want)
			}
		})
	}
}
