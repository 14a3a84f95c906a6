package drill

import (
	"testing"
	"time"
)

// Each of them once, where they can be had.
func TestNetFaults(t *testing.T) {
	t.Parallel()
	if why := whyNoNetwork(); why != "" {
		t.Skip(why)
	}
	s := newFarSite(t)
	s.suffer(within(t, 3*time.Minute), actsOf(t, s.can(t, netFaults()))...)
}
