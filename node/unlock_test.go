package node

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestUnlock: the lock is free although somebody else still has the file open,
// as a child between fork and exec does.
func TestUnlock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := lockExclusively(f); err != nil {
		t.Fatal(err)
	}
	child, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(child) }()
	if err := unlock(f); err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	if err := lockExclusively(g); err != nil {
		t.Errorf("locked again: %v", err)
	}
}
