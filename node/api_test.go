package node

import (
	"testing"
	"time"
)

// What a leader says of its peers decides whether it is believed, and who
// takes over from it.
func TestGroup(t *testing.T) {
	t.Parallel()
	const within = time.Second
	fresh, stale, never := 10*time.Millisecond, 2*time.Second, time.Duration(0)
	for name, c := range map[string]struct {
		replicas  []peer
		heard     bool
		successor string
	}{
		"both follow":      {[]peer{{"n2", false, fresh, 7}, {"n3", false, fresh, 2}}, true, "n3"},
		"one follows":      {[]peer{{"n2", false, fresh, 9}, {"n3", false, stale, 0}}, true, "n2"},
		"a paused leader":  {[]peer{{"n2", false, stale, 0}, {"n3", false, stale, 0}}, false, ""},
		"never heard from": {[]peer{{"n2", false, never, 0}, {"n3", false, never, 0}}, false, ""},
		"both offline":     {[]peer{{"n2", true, fresh, 0}, {"n3", true, fresh, 0}}, false, ""},
		"two of five": {[]peer{{"n2", false, fresh, 0}, {"n3", false, stale, 0}, {"n4", false, stale, 0}, {"n5", false, stale, 0}},
			false, "n2"},
	} {
		g := &group{Leader: "n1", Replicas: c.replicas}
		if g.heard(within) != c.heard || successor(g, within) != c.successor {
			t.Errorf("%s: heard %v, successor %q", name, g.heard(within), successor(g, within))
		}
	}
	var alone *group
	if !alone.heard(within) || successor(alone, within) != "" {
		t.Error("a single node has its quorum, and no successor")
	}
}
