package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// smallest is a size that mkfs.ext4 makes a journal on.
const smallest = 16 << 20

// makeDeadline bounds the making of a file system, which takes milliseconds.
const makeDeadline = time.Minute

// Lacking says why no volumes can be had here, or "". It makes one, tries
// everything on it, and takes it away again.
func Lacking() string {
	if os.Geteuid() != 0 {
		return "only root may mount"
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		return "there is no program mkfs.ext4 (package e2fsprogs)"
	}
	if err := tryOut(); err != nil {
		return fmt.Sprintf("a file cannot be mounted: %v", err)
	}
	return ""
}

func tryOut() error {
	dir, err := os.MkdirTemp("", "landfall-volume-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	v, err := Create(filepath.Join(dir, "image"), filepath.Join(dir, "disk"), smallest)
	if err != nil {
		return err
	}
	defer os.Remove(v.mountpoint)
	return errors.Join(v.Freeze(), v.Thaw(), v.CutPower(), v.Remount(), v.Close())
}

// Create makes an empty file system of a size in a new file, and mounts it on
// a directory, which it makes if need be. The file is sparse: it takes what is
// written to it. Whoever gets a volume must Close it.
func Create(image, mountpoint string, size int64) (*Volume, error) {
	v := &Volume{image: image, mountpoint: mountpoint}
	if err := v.create(size); err != nil {
		return nil, errors.Join(fmt.Errorf("make a volume on %s: %w", mountpoint, err), v.Close())
	}
	return v, nil
}

func (v *Volume) create(size int64) error {
	f, err := os.OpenFile(v.image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		v.image = "" // it is somebody else's
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if err := format(v.image); err != nil {
		return err
	}
	if err := os.MkdirAll(v.mountpoint, 0o755); err != nil {
		return err
	}
	// Where both are really, which is what the kernel lists.
	if v.mountpoint, err = filepath.EvalSymlinks(v.mountpoint); err != nil {
		return err
	}
	if v.image, err = filepath.EvalSymlinks(v.image); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.anchor(); err != nil {
		return err
	}
	if err := v.mount(); err != nil {
		return err
	}
	// A disk of this kind is handed over empty.
	return os.Remove(filepath.Join(v.mountpoint, "lost+found"))
}

// format makes the file system. Nothing is kept back for root (-m 0), so that
// a full one is full for everybody; tables are written when they are needed.
func format(image string) error {
	ctx, cancel := context.WithTimeout(context.Background(), makeDeadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-i", "65536",
		"-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", image)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Fill takes all room that is left, down to the last block. When room has come
// free since, it takes that too.
func (v *Volume) Fill() error {
	f, err := os.OpenFile(v.ballast(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill volume: %w", err)
	}
	defer f.Close()
	var room unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &room); err != nil {
		return fmt.Errorf("fill volume: %w", err)
	}
	block := room.Bsize
	for want := max(int64(room.Bavail), 1) * block; want >= block; {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("fill volume: %w", err)
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, info.Size(), want); {
		case err == nil, errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC):
			want = want / 2 / block * block
		default:
			return fmt.Errorf("fill volume: %w", err)
		}
	}
	return nil
}

// Free gives back what Fill took.
func (v *Volume) Free() error {
	if err := os.Remove(v.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free volume: %w", err)
	}
	// The room is there for others once the file system has written down
	// that it is.
	dir, err := os.Open(v.mountpoint)
	if err != nil {
		return fmt.Errorf("free volume: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("free volume: %w", err)
	}
	return nil
}

// What the kernel is asked for, from its uapi headers fs.h and ext4.h.
const (
	ioctlFreeze   = 0xC0045877 // FIFREEZE
	ioctlThaw     = 0xC0045878 // FITHAW
	ioctlShutdown = 0x8004587D // EXT4_IOC_SHUTDOWN

	shutdownNoLogFlush = 2 // EXT4_GOING_FLAGS_NOLOGFLUSH: the journal too stays as it is
)

// Freeze stalls the volume: every write and every fsync waits until Thaw, and
// whoever waits cannot be killed meanwhile. Reading goes on.
func (v *Volume) Freeze() error {
	err := onDirectory(v.mountpoint, func(fd int) error { return unix.IoctlSetInt(fd, ioctlFreeze, 0) })
	if err != nil {
		return fmt.Errorf("freeze volume: %w", err)
	}
	return nil
}

// Thaw lets those go on who waited; a volume that is not frozen stays as it is.
func (v *Volume) Thaw() error {
	if err := thaw(v.mountpoint); err != nil {
		return fmt.Errorf("thaw volume: %w", err)
	}
	return nil
}

func thaw(mountpoint string) error {
	err := onDirectory(mountpoint, func(fd int) error { return unix.IoctlSetInt(fd, ioctlThaw, 0) })
	if errors.Is(err, unix.EINVAL) { // it was not frozen
		return nil
	}
	return err
}

// CutPower loses all that was not fsynced. Until Remount, everything on the
// volume fails with EIO.
func (v *Volume) CutPower() error {
	err := onDirectory(v.mountpoint, func(fd int) error {
		return unix.IoctlSetPointerInt(fd, ioctlShutdown, shutdownNoLogFlush)
	})
	if err != nil {
		return fmt.Errorf("cut the power of volume: %w", err)
	}
	return nil
}

// onDirectory does something with a directory opened for just that: an open
// file would keep the volume from being unmounted.
func onDirectory(path string, do func(fd int) error) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	return do(fd)
}
