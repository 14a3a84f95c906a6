package node_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"landfall/node"
	"landfall/node/nodetest"
)

// zombieTime is how soon a node that has become one must be known as one.
const zombieTime = 20 * time.Second

// sickCluster has three nodes, of which n3 is to fall ill; and messages come in
// all the time, if busy.
type sickCluster struct {
	sick *node.Node
	disk failingDisk
	dir  string
}

func newSickCluster(t *testing.T, busy bool) *sickCluster {
	t.Helper()
	stream := nodetest.Stream("MESSAGES", "messages", "messages.>")
	stream.MaxBytes = 16 << 20
	c := nodetest.Config(t, 3, stream)
	dir := c.DataDir("n3")
	disk := newFailingDisk(t, dir, 200<<20)
	nodes := nodetest.Start(t, c)
	if busy {
		keepPublishing(t, c, nodes[0])
	}
	return &sickCluster{sick: nodes[2], disk: disk, dir: dir}
}

// A node whose disk fails is known to have failed, whoever is asked: whether
// somebody publishes or nobody does, and whatever the server says in its log.
func TestZombie(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		busy bool
		fall func(*sickCluster) error
	}{
		{"every write fails, idle", false, func(c *sickCluster) error { return c.disk.cut() }},
		{"every write fails, busy", true, func(c *sickCluster) error { return c.disk.cut() }},
		{"read-only, idle", false, func(c *sickCluster) error { return c.disk.readOnly() }},
		{"read-only, busy", true, func(c *sickCluster) error { return c.disk.readOnly() }},
		{"full", true, func(c *sickCluster) error { return c.disk.fill() }},
		{"everything removed, idle", false, func(c *sickCluster) error { return emptied(c.dir) }},
		{"everything removed, busy", true, func(c *sickCluster) error { return emptied(c.dir) }},
		{"Raft logs removed", false, func(c *sickCluster) error { return emptied(filepath.Join(c.dir, "jetstream", "$SYS", "_js_")) }},
		{"stream removed", false, func(c *sickCluster) error { return emptied(filepath.Join(c.dir, "jetstream", "$G", "streams")) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newSickCluster(t, tc.busy)
			began := time.Now()
			if err := tc.fall(c); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-c.sick.Fatal():
				t.Logf("after %s: %v", time.Since(began).Round(time.Millisecond), err)
			case <-time.After(zombieTime):
				t.Errorf("after %s it still takes itself for alive, with readiness %v", zombieTime, c.sick.Ready())
			}
		})
	}
}

// The Raft groups alone tell, too: a failure that is in no log line and that no
// write of our own meets.
func TestZombieByItsGroups(t *testing.T) {
	t.Parallel()
	c := newSickCluster(t, true)
	look := node.LookAtGroups(c.sick, nil)
	node.Silence(c.sick)
	if err := c.disk.cut(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(node.GroupsPoll)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if err := look(); err != nil {
			t.Logf("after %s: %v", time.Since(began).Round(time.Millisecond), err)
			<-c.sick.Fatal() //nolint:errcheck // its own look at the disk says something else
			return
		}
		if time.Since(began) > zombieTime {
			t.Fatal("the groups are taken for well")
		}
	}
}

// emptied removes what is in a directory, and leaves it.
func emptied(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if err == nil {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	return err
}
