package drill

import (
	"testing"
	"time"
)

func TestClientFaults(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	v := s.suffer(within(t, 3*time.Minute), actsOf(t, clientFaults())...)
	if v.Repeats == 0 {
		t.Error("no message came again after JetStream had forgotten it")
	}
	t.Logf("%d messages came again after JetStream had forgotten them", v.Repeats)
}
