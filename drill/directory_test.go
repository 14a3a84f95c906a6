package drill

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"landfall/drill/volume"
)

// What an owner left that was killed is removed by the next one; what has an
// owner, or is just being made, is not.
func TestDirectoriesOfTheDeadAreSwept(t *testing.T) {
	t.Parallel()
	old := time.Now().Add(-time.Hour)
	made := func(lock, aged bool) string {
		dir, err := os.MkdirTemp("", directoryPrefix)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		path := filepath.Join(dir, "lock")
		f, err := lockFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if aged {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		if lock {
			t.Cleanup(func() { f.Close() })
		} else {
			f.Close()
		}
		return dir
	}
	owned, left, fresh := made(true, true), made(false, true), made(false, false)
	c, err := NewCluster(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{owned: true, left: false, fresh: true, c.Dir(): true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.Dir()); !os.IsNotExist(err) {
		t.Errorf("after its end: %v", err)
	}
}

// So are disks of theirs, in whatever state they are.
func TestDisksOfTheDeadAreSwept(t *testing.T) {
	t.Parallel()
	if why := volume.Lacking(); why != "" {
		t.Skip("no disks: ", why)
	}
	c, err := NewCluster(Options{})
	if err != nil {
		t.Fatal(err)
	}
	disk, err := volume.Create(filepath.Join(c.Dir(), "n1.img"), c.DataPath("n1"), 32<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	if err := disk.Freeze(); err != nil {
		t.Fatal(err)
	}
	// What remains of a process that was killed.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(c.Dir(), "lock"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := c.lock.Close(); err != nil {
		t.Fatal(err)
	}
	sweepDirectories()
	if _, err := os.Stat(c.Dir()); !os.IsNotExist(err) {
		t.Errorf("after the sweep: %v", err)
	}
}
