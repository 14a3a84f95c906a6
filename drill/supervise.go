package drill

import (
	"context"
	"slices"
	"time"
)

// restartPause is how long a supervisor leaves a node that ended down.
const restartPause = time.Second

// Ended is a node that ended by itself and was started again.
type Ended struct {
	Node  string        `json:"node"`
	After time.Duration `json:"after_ns"` // of the run
	How   string        `json:"how"`
	Last  []string      `json:"last,omitempty"` // what its log says last
}

// supervise does what systemd or Kubernetes would: a node whose process ends
// is started again. Nodes that faults have for themselves are theirs to start.
// It ends with ctx.
func (k *soak) supervise(ctx context.Context) error {
	c := k.site.Cluster
	err := poll(ctx, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		for _, n := range c.Addresses() {
			how, fallen := c.fallen(n.Name)
			if !fallen || k.site.claimed(n.Name) {
				continue
			}
			last, _ := lastTrouble(c.LogPath(n.Name), 3) // it tells more than it explains
			k.n.say("  %s ended by itself: %s; it is started again", n.Name, how)
			k.report.ended(Ended{Node: n.Name, After: time.Since(k.began), How: how, Last: last})
			pause(ctx, restartPause)
			if k.site.claimed(n.Name) {
				continue
			}
			if err := c.Start(n.Name); err != nil {
				k.n.say("  %v", err) // somebody else has started it
			}
		}
		return false, nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// fallen tells whether a node's process has ended that nobody ended, and how.
func (c *Cluster) fallen(node string) (how string, fallen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.children[node]
	if ch == nil || ch.meant || ch.running() {
		return "", false
	}
	return ch.how, true
}

// claimed tells whether a fault has a node for itself.
func (s *Site) claimed(node string) bool {
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	return slices.Contains(s.claims.taken, node)
}
