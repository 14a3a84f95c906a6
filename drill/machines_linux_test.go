package drill

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Machines that a killed process left are removed by the next one's; those of
// the living, and what is not ours, are not. Close leaves nothing.
func TestMachinesLeaveNothing(t *testing.T) {
	t.Parallel()
	if why := whyNoNetwork(); why != "" {
		t.Log(why)
		return // there can be nothing to leave
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	left := &network{index: 0}
	name := strings.Replace(left.namespace("n1"), pidOf(os.Getpid()), pidOf(dead.Process.Pid), 1)
	if err := ip("netns", "add", name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = removeNamespace(name) })
	if err := writeHosts(name, "127.0.0.1 localhost\n"); err != nil {
		t.Fatal(err)
	}
	first, err := NewMachines("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewMachines("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join("/run/netns", name), filepath.Join(namespaceFiles, name)} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s of a dead process: %v", path, err)
		}
	}
	// The first ones are as they were, and know each other by name.
	out, err := first.command("a", "getent", "hosts", "b").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), first.List[1].Address+" ") {
		t.Errorf("a finds b at %s, %v; want %s", out, err, first.List[1].Address)
	}
	for _, m := range []*Machines{first, second} {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if _, err := net.InterfaceByName(m.network.uplink()); err == nil {
			t.Errorf("%s is still there", m.network.uplink())
		}
		for _, name := range append(m.network.names, "switch") {
			if _, err := os.Stat(filepath.Join("/run/netns", m.network.namespace(name))); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", name, err)
			}
		}
	}
}

// pidOf is a process as it stands in a namespace's name.
func pidOf(pid int) string { return "-" + strconv.Itoa(pid) + "-" }
