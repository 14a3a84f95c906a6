package drill

import (
	"os"
	"path/filepath"
	"testing"
	"time"
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
