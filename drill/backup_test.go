package drill

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestCopyTree(t *testing.T) {
	t.Parallel()
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	holes := filepath.Join("a", "holes")
	content := bytes.Repeat([]byte("landfall"), 1000)
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(from, "a", "b"), 0o755), os.Chmod(filepath.Join(from, "a", "b"), 0o500),
		os.WriteFile(filepath.Join(from, "plain"), content, 0o640), os.WriteFile(filepath.Join(from, "empty"), nil, 0o666),
		os.Symlink("plain", filepath.Join(from, "link")))
	f, err := os.Create(filepath.Join(from, holes))
	must(err)
	for _, at := range []int64{1 << 20, 8 << 20} {
		_, err := f.WriteAt(content, at)
		must(err)
	}
	must(f.Truncate(16<<20), f.Close())
	if os.Geteuid() == 0 {
		must(os.Chown(filepath.Join(from, "plain"), 65534, 65534), os.Lchown(filepath.Join(from, "link"), 65534, 65534))
	}

	must(copyTree(t.Context(), from, to))
	for _, name := range []string{".", "a", "a/b", "plain", "empty", holes, "link"} {
		was, err := os.Lstat(filepath.Join(from, name))
		must(err)
		is, err := os.Lstat(filepath.Join(to, name))
		must(err)
		a, b := was.Sys().(*syscall.Stat_t), is.Sys().(*syscall.Stat_t)
		// What cannot be entered by its owner could not have been filled.
		if (was.Mode() != is.Mode() && name != "a/b") || a.Uid != b.Uid || a.Gid != b.Gid {
			t.Errorf("%s: %v of %d:%d, was %v of %d:%d", name, is.Mode(), b.Uid, b.Gid, was.Mode(), a.Uid, a.Gid)
		}
		if !was.Mode().IsRegular() {
			continue
		}
		want, err := os.ReadFile(filepath.Join(from, name))
		must(err)
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d; %v", name, len(got), len(want), err)
		}
		if b.Blocks > a.Blocks+16 {
			t.Errorf("%s takes %d blocks, its original %d", name, b.Blocks, a.Blocks)
		}
	}
	if target, err := os.Readlink(filepath.Join(to, "link")); err != nil || target != "plain" {
		t.Errorf("the link leads to %q, %v", target, err)
	}

	if err := copyTree(t.Context(), from, to); err == nil {
		t.Error("what was there was written over")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyTree(ended, from, to+"2"); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := os.Stat(to + "2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was left: %v", err)
	}
}
