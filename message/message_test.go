package message

import (
	"testing"
	"time"
)

func TestTrace(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)
	cut := noon.Truncate(time.Microsecond)
	m := &Message{Time: noon, Header: map[string][]string{IDHeader: {"a"}}}
	for name, tt := range map[string]struct {
		trace Trace
		want  bool
	}{
		"microseconds":        {Trace{Time: cut, Unit: time.Microsecond, ID: "a", Named: true}, true},
		"a microsecond later": {Trace{Time: cut.Add(time.Microsecond), Unit: time.Microsecond, ID: "a", Named: true}, false},
		"another id":          {Trace{Time: cut, Unit: time.Microsecond, ID: "b", Named: true}, false},
		"no id":               {Trace{Time: cut, Unit: time.Microsecond, Named: true}, false},
		"an id not kept":      {Trace{Time: cut, Unit: time.Microsecond}, true},
		"nanoseconds":         {Trace{Time: noon, Unit: time.Nanosecond}, true},
		"a nanosecond later":  {Trace{Time: noon.Add(1), Unit: time.Nanosecond}, false},
	} {
		if got := tt.trace.Of(m); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
