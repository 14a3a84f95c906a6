package volume

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// made is a volume for a test; its directory and everything on it go with the
// test.
func made(t *testing.T) *Volume {
	t.Helper()
	if why := Lacking(); why != "" {
		t.Skip("no volumes: ", why)
	}
	dir := t.TempDir()
	v, err := Create(filepath.Join(dir, "image"), filepath.Join(dir, "disk"), 256<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, dir)
	})
	return v
}

// nothingLeft checks that no mount, device or file of a volume remains.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if mounts, err := mountsUnder(dir); err != nil || len(mounts) != 0 {
		t.Errorf("still mounted: %v, %v", mounts, err)
	}
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Error(err)
	}
	for _, d := range devices {
		if name, err := os.ReadFile(d); err == nil && strings.HasPrefix(string(name), dir) {
			t.Errorf("still attached: %s", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "image")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the image: %v", err)
	}
}

// must ends the test with the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// write writes a file, and syncs it if it is to last.
func write(path string, content []byte, lasting bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && lasting {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func TestAFullVolumeTakesNothing(t *testing.T) {
	t.Parallel()
	v := made(t)
	page := bytes.Repeat([]byte("x"), 8192)
	old, fresh := filepath.Join(v.Path(), "old"), filepath.Join(v.Path(), "new")
	must(t, write(old, page, true), v.Fill())
	for _, path := range []string{old, fresh} {
		if err := write(path, page, true); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("writing %s: %v", path, err)
		}
	}
	// What comes free meanwhile can be taken, too.
	must(t, os.Remove(old), v.Fill())
	if err := write(fresh, page, true); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("writing after one was removed: %v", err)
	}
	start := time.Now()
	must(t, v.Free(), write(fresh, bytes.Repeat(page, 1000), true))
	t.Logf("freed, and 8 MB written, after %s", time.Since(start))
	must(t, v.Free())
}

func TestAFrozenVolumeMakesWritersWait(t *testing.T) {
	t.Parallel()
	v := made(t)
	path := filepath.Join(v.Path(), "file")
	must(t, write(path, []byte("before"), true), v.Freeze())
	written := make(chan error, 1)
	go func() { written <- write(path, []byte(", after"), true) }()
	select {
	case err := <-written:
		t.Errorf("a frozen volume took a write: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "before" {
		t.Errorf("read from a frozen volume: %q, %v", got, err)
	}
	must(t, v.Thaw(), <-written, v.Thaw())
	if got, err := os.ReadFile(path); err != nil || string(got) != "before, after" {
		t.Errorf("read after the thaw: %q, %v", got, err)
	}
	// However it is left, Close can end it.
	must(t, v.Freeze())
}

func TestAPowerCutLosesWhatWasNotSynced(t *testing.T) {
	t.Parallel()
	v := made(t)
	path := func(name string) string { return filepath.Join(v.Path(), name) }
	must(t,
		write(path("synced"), []byte("synced"), true),
		write(path("grown"), []byte("synced"), true),
		write(path("grown"), []byte(", not synced"), false),
		write(path("made"), []byte("not synced"), false),
		write(path("replaced"), []byte("synced"), true),
		write(path("other"), []byte("not synced"), false),
		os.Rename(path("other"), path("replaced")),
		// An fsync of one file is not one of the others.
		write(path("last"), []byte("synced"), true),
	)
	held, err := os.OpenFile(path("synced"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer held.Close()
	must(t, v.CutPower())
	_, written := held.WriteString("x")
	_, opened := os.OpenFile(path("new"), os.O_CREATE|os.O_WRONLY, 0o644)
	for what, err := range map[string]error{"write": written, "open": opened, "fsync": held.Sync()} {
		if !errors.Is(err, unix.EIO) {
			t.Errorf("%s without power: %v", what, err)
		}
	}
	held.Close()
	must(t, v.Remount())
	for _, name := range []string{"synced", "grown", "last"} {
		if got, err := os.ReadFile(path(name)); err != nil || !strings.HasPrefix(string(got), "synced") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// Of what was not synced a length may remain, as on any ext4, but nothing
	// to read.
	for _, name := range []string{"grown", "made", "replaced"} {
		if got, _ := os.ReadFile(path(name)); strings.Contains(string(got), "not synced") {
			t.Errorf("%s has survived: %q", name, got)
		}
	}
	must(t, write(path("after"), []byte("there is power again"), true))
	// However it is left, Close can end it.
	must(t, v.CutPower())
}

// Programs that run in a namespace of mounts do not keep a volume from being
// unmounted, and see it again when it is remounted.
func TestVolumesInNamespaces(t *testing.T) {
	t.Parallel()
	v := made(t)
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("there is no program unshare (package util-linux)")
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "slave", "sh", "-c", `echo; read _; cat "$1/file"`, "sh", v.Path())
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	_, err = out.Read(make([]byte, 1)) // it runs
	must(t, err, write(filepath.Join(v.Path(), "file"), []byte("synced"), true), v.CutPower(), v.Remount())
	_, err = in.Write([]byte("\n"))
	must(t, err)
	got := make([]byte, 10)
	if n, err := out.Read(got); err != nil || string(got[:n]) != "synced" {
		t.Errorf("in the namespace: %q, %v", got[:n], err)
	}
}

// What an owner left that was killed, somebody else can remove.
func TestUnmountUnder(t *testing.T) {
	t.Parallel()
	if why := Lacking(); why != "" {
		t.Skip("no volumes: ", why)
	}
	dir := t.TempDir()
	for _, name := range []string{"a b", "c"} {
		v, err := Create(filepath.Join(dir, name+".image"), filepath.Join(dir, name, "disk"), smallest)
		must(t, err)
		t.Cleanup(func() { _ = v.Close() })
	}
	must(t, (&Volume{mountpoint: filepath.Join(dir, "c", "disk")}).Freeze(), UnmountUnder(dir), os.RemoveAll(dir))
	nothingLeft(t, dir)
	for _, no := range []string{"", "/"} {
		if UnmountUnder(no) == nil {
			t.Errorf("everything under %q was unmounted", no)
		}
	}
}

// A volume waits for those who are just closing their files.
func TestABusyVolumeIsWaitedFor(t *testing.T) {
	t.Parallel()
	v := made(t)
	f, err := os.Create(filepath.Join(v.Path(), "file"))
	must(t, err)
	defer f.Close()
	remounted := make(chan error, 1)
	go func() { remounted <- v.Remount() }()
	select {
	case err := <-remounted:
		t.Errorf("remounted under an open file: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	must(t, f.Close(), <-remounted)
}
