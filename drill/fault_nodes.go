package drill

import (
	"context"
	"slices"
	"strings"
	"time"
)

// undoPatience is how long a fault may take to undo what it did, counted from
// when it begins to, also when the drill is being ended.
const undoPatience = time.Minute

// undoing is the context of what undoes a fault.
func undoing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
}

// nodeNames are all nodes, in order.
func (s *Site) nodeNames() []string {
	var names []string
	for _, n := range s.Cluster.Addresses() {
		names = append(names, n.Name)
	}
	return names
}

// followers are the nodes that lead nothing of the stream.
func (s *Site) followers(now Leaders) []string {
	return slices.DeleteFunc(s.nodeNames(), func(n string) bool { return n == now.Stream || n == now.Consumer })
}

// claimSeveral claims so many nodes, in an order that the act's chance decides.
func (s *Site) claimSeveral(a Act, count int) (nodes []string, release func(), err error) {
	order := s.nodeNames()
	a.Rand().Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	for range count {
		node, r, err := s.Claim(order...)
		if err != nil {
			release()
			return nil, nil, err
		}
		nodes, releases = append(nodes, node), append(releases, r)
	}
	return nodes, release, nil
}

// listed puts names into a sentence.
func listed(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
