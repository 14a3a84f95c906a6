package drill

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The other faults of nodes are like these; a lane has all of them.
func TestNodeFaults(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	s.suffer(within(t, 3*time.Minute), slices.Concat(
		actsOf(t, killFaults(), "kill-leader", "kill-all", "kill-again"),
		actsOf(t, stopFaults(), "freeze-leader", "freeze-two"),
		actsOf(t, termFaults()),
	)...)
}

// Only the leader's death makes the others elect one: so whom the ballots name
// leads, if its death is followed by an election, and another's is not.
func TestMetaLeader(t *testing.T) {
	t.Parallel()
	s := newTestSite(t)
	ctx := within(t, time.Minute)
	leader := s.metaLeader()
	if leader == "" {
		t.Fatal("nobody is named")
	}
	other := slices.DeleteFunc(s.nodeNames(), func(n string) bool { return n == leader })[0]
	s.r.must(s.killNow(ctx, other))
	pause(ctx, 2*time.Second) // an election takes less
	if now := s.metaLeader(); now != leader {
		t.Errorf("without %s, %s leads after %s", other, now, leader)
	}
	s.r.must(s.startAgain(other))
	s.r.must(s.Cluster.AwaitReady(ctx))

	leader = s.metaLeader()
	s.r.must(s.killNow(ctx, leader))
	s.r.must(poll(ctx, 20*time.Millisecond, func(context.Context) (bool, error) {
		return s.metaLeader() != leader, nil
	}))
}

func TestBallots(t *testing.T) {
	t.Parallel()
	term := func(term byte, vote string) string {
		if vote != "" {
			vote = raftName(vote)
		}
		return string([]byte{term, 0, 0, 0, 0, 0, 0, 0}) + vote
	}
	for _, tc := range []struct {
		name  string
		files [3]string // "": none
		want  string
	}{
		{"all agree", [3]string{term(3, "n2"), term(3, "n2"), term(3, "n2")}, "n2"},
		{"one voted for itself", [3]string{term(3, "n1"), term(3, "n2"), term(3, "n2")}, "n2"},
		{"one has missed an election", [3]string{term(3, "n1"), term(4, "n2"), term(4, "n2")}, "n2"},
		{"one has not voted", [3]string{term(4, ""), term(4, "n3"), term(4, "n3")}, "n3"},
		{"one has newer news", [3]string{term(3, "n1"), term(3, "n1"), term(4, "n3")}, "n3"},
		{"one is new", [3]string{"", term(7, "n3"), term(7, "n3")}, "n3"},
		{"half a file", [3]string{"abc", term(7, "n1"), term(7, "n1")}, "n1"},
		{"none", [3]string{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := &Cluster{dir: t.TempDir()}
			for i, text := range tc.files {
				name := string([]byte{'n', byte('1' + i)})
				c.nodes = append(c.nodes, Addresses{Name: name})
				if text == "" {
					continue
				}
				dir := filepath.Join(c.DataPath(name), "jetstream", "$SYS", "_js_", "_meta_")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "tav.idx"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := (&Site{Cluster: c}).metaLeader(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
