package node_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// failingDisk is an ext4 file system of its own under a directory.
type failingDisk struct{ at string }

// newFailingDisk mounts one, which is gone when the test is over.
func newFailingDisk(t *testing.T, at string, size int64) failingDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a disk that can be broken")
	}
	image := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close(), os.MkdirAll(at, 0o700)); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", "-m", "0", image)
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Skipf("no disk that can be broken: mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		// Of files that were removed under it the server may keep some open,
		// until this process ends; then the rest of it goes.
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", at, err)
		}
	})
	if err := os.Remove(filepath.Join(at, "lost+found")); err != nil {
		t.Fatal(err)
	}
	return failingDisk{at}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// cut has everything fail with EIO from now on (EXT4_IOC_SHUTDOWN).
func (d failingDisk) cut() error {
	dir, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer dir.Close()
	withoutLog := uint32(2)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), 0x8004587D, uintptr(unsafe.Pointer(&withoutLog))); errno != 0 {
		return errno
	}
	return nil
}

// readOnly is what a file system makes of itself that has found an error.
func (d failingDisk) readOnly() error {
	if out, err := exec.Command("mount", "-o", "remount,abort", d.at).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// fill takes all room that is left.
func (d failingDisk) fill() error {
	f, err := os.Create(filepath.Join(d.at, "ballast"))
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(d.at, &st); err != nil {
		return err
	}
	for want := int64(st.Bavail) * st.Bsize; want >= st.Bsize; {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if err := unix.Fallocate(int(f.Fd()), 0, info.Size(), want); err != nil {
			want = want / 2 / st.Bsize * st.Bsize
		}
	}
	return nil
}
