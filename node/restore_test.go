package node_test

import (
	"testing"

	"landfall/node"
	"landfall/node/nodetest"
)

// What was deleted comes back; what was changed since, on another node with a
// newer cluster.yaml, stays changed.
func TestRestoreStreams(t *testing.T) {
	t.Parallel()
	cfg := nodetest.Config(t, 1)
	n := nodetest.Start(t, cfg)[0]
	js := jetStream(t, nodetest.Connect(t, n))

	newer := nodetest.Stream("MESSAGES", "messages", "messages.>", "more")
	if err := n.EnsureStream(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	if err := n.RestoreStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, err := js.Stream(t.Context(), "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	if got := before.CachedInfo().Config.Subjects; len(got) != 3 {
		t.Errorf("subjects %v: the change was undone", got)
	}

	if err := js.DeleteStream(t.Context(), "MESSAGES"); err != nil {
		t.Fatal(err)
	}
	if err := n.RestoreStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := js.Stream(t.Context(), "MESSAGES")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := after.CachedInfo().Config.Metadata[node.IncarnationKey], before.CachedInfo().Config.Metadata[node.IncarnationKey]; a == b || a == "" {
		t.Errorf("incarnation %q after %q: want another one", a, b)
	}
	if _, err := js.Consumer(t.Context(), "MESSAGES", node.Consumer); err != nil {
		t.Errorf("consumer: %v", err)
	}
}
