package drill

import (
	"testing"
	"time"
)

func TestStreamFaults(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	acts := actsOf(t, streamFaults(), "stream-full", "consumer-deleted", "stream-deleted", "message-removed")
	s.suffer(within(t, 3*time.Minute), acts...)
}

func TestDirectoryFaults(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	s.suffer(within(t, 3*time.Minute), actsOf(t, streamFaults(), "wipe-one", "wipe-all", "tail-cut")...)
}
