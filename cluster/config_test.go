package cluster

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestHelpers(t *testing.T) {
	t.Parallel()
	c := shipped("cluster.yaml")
	if got := c.NodeNames(); !slices.Equal(got, []string{"n1", "n2", "n3"}) {
		t.Errorf("names %v", got)
	}
	if got := c.ClientURLs(); got != "nats://127.0.0.1:4231,nats://127.0.0.1:4232,nats://127.0.0.1:4233" {
		t.Errorf("clients %v", got)
	}
	if got := c.DataDir("n2"); got != filepath.Join("data", "n2") {
		t.Errorf("data directory %s", got)
	}
	if n, ok := c.Node("n2"); !ok || n.Name != "n2" {
		t.Errorf("node %v, %v", n, ok)
	}
	if _, ok := c.Node("n9"); ok {
		t.Error("there is a node n9")
	}
	if got := c.Replicas(); got != 3 {
		t.Errorf("replicas %d", got)
	}
	c.Nodes = c.Nodes[:1]
	if got := c.Replicas(); got != 1 {
		t.Errorf("replicas of one node %d", got)
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, addr, want string }{
		{"", "n1:4222", "n1:4222"},
		{"0.0.0.0", "n1:4222", "0.0.0.0:4222"},
		{"::", "n1:4222", "[::]:4222"},
		{"127.0.0.1", "[2001:db8::1]:80", "127.0.0.1:80"},
	} {
		if got := (Node{Listen: c.listen}).Bind(c.addr); got != c.want {
			t.Errorf("%s at %q binds %s, want %s", c.addr, c.listen, got, c.want)
		}
	}
}
