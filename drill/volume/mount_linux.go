package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// busyDeadline is how long a volume may be in use by those who are just
	// ending, before it is an error to take it away.
	busyDeadline = 10 * time.Second
	busyAgain    = 10 * time.Millisecond

	// sweepDeadline is the same for what the dead have left, while somebody
	// waits who only wants to start.
	sweepDeadline = 2 * time.Second

	// attachTries: others may take a loop device between our learning that it
	// is free and our taking it.
	attachTries = 50
)

// options keep what was not fsynced from becoming durable by itself: the
// journal is not written every five seconds, and a file that replaces another
// is not flushed for that. Tables are not initialized in the background.
const options = "commit=3600,noauto_da_alloc,noinit_itable"

// anchor makes the mountpoint a mount of its own that hands on what is mounted
// on it and unmounted from it. Programs that run in namespaces (`ip netns
// exec` makes one of mounts, too) have copies of all mounts of their start.
// Without an anchor their copies would keep a volume alive that was unmounted
// here, and mounting its file again would mean to have it mounted twice.
func (v *Volume) anchor() error {
	if err := unix.Mount(v.mountpoint, v.mountpoint, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", v.mountpoint, err)
	}
	v.anchored = true
	// First private: as a member of its parent's group it would hand on to itself.
	for _, how := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", v.mountpoint, "", how, ""); err != nil {
			return fmt.Errorf("share %s: %w", v.mountpoint, err)
		}
	}
	return nil
}

// mount mounts the image. The device lets go of it by itself when the file
// system is unmounted everywhere.
func (v *Volume) mount() error {
	device, err := attach(v.image)
	if err != nil {
		return err
	}
	defer device.Close() // the file system has its own
	if err := unix.Mount(device.Name(), v.mountpoint, "ext4", unix.MS_NOATIME|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount %s: %w", device.Name(), err)
	}
	v.mounted, v.device = true, filepath.Base(device.Name())
	return nil
}

// attach makes a loop device of a file. The device's writes go through the
// page cache and its flushes are fsyncs of the file, so that an fsync on the
// volume is one down to the real disk.
func attach(image string) (*os.File, error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the device has its own
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(f.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image)
	for range attachTries {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := os.OpenFile("/dev/loop"+strconv.Itoa(number), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("attach %s: %w", device.Name(), err)
		}
	}
	return nil, fmt.Errorf("no loop device was free in %d tries", attachTries)
}

// Remount gives a volume its power back: whatever of it was fsynced is there
// again. Nobody may have a file on it open any more.
func (v *Volume) Remount() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.unmount(); err != nil {
		return fmt.Errorf("remount volume: %w", err)
	}
	if err := v.mount(); err != nil {
		return fmt.Errorf("remount volume: %w", err)
	}
	return nil
}

// Close thaws and unmounts a volume and removes its file, but not the
// directory that it was mounted on. It may be called more than once.
func (v *Volume) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.unmount()
	if err != nil {
		// Out of sight at least, and gone when the last file on it is closed.
		err = errors.Join(err, unix.Unmount(v.mountpoint, unix.MNT_DETACH))
		v.mounted = false
	}
	if v.anchored {
		err = errors.Join(err, unmount(v.mountpoint, time.Now().Add(busyDeadline)))
		v.anchored = false
	}
	if v.image != "" {
		if gone := os.Remove(v.image); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		v.image = ""
	}
	if err != nil {
		return fmt.Errorf("close volume: %w", err)
	}
	return nil
}

// unmount returns when the file system is gone, everywhere.
func (v *Volume) unmount() error {
	if !v.mounted {
		return nil
	}
	deadline := time.Now().Add(busyDeadline)
	if err := unmount(v.mountpoint, deadline); err != nil {
		return err
	}
	v.mounted = false
	err := until(deadline, func() error {
		// The device reads so as long as the file system lives.
		name, err := os.ReadFile(filepath.Join("/sys/block", v.device, "loop/backing_file"))
		if err == nil && strings.TrimSuffix(string(name), "\n") == v.image {
			return unix.EBUSY
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s is still mounted in some other namespace: %w", v.image, err)
	}
	return nil
}

// unmount thaws and unmounts what is mounted last on a directory. While it is
// in use it tries again.
func unmount(path string, deadline time.Time) error {
	return until(deadline, func() error {
		if err := thaw(path); err != nil {
			return fmt.Errorf("thaw %s: %w", path, err)
		}
		switch err := unix.Unmount(path, 0); {
		case err == nil, errors.Is(err, unix.EINVAL): // it is no mount
			return nil
		default:
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	})
}

// until tries until the answer is something else than "busy".
func until(deadline time.Time, try func() error) error {
	tick := time.NewTicker(busyAgain)
	defer tick.Stop()
	for {
		err := try()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

// UnmountUnder unmounts whatever is mounted on a directory and below it, for
// an owner who was killed before it could; the directory can be removed then.
func UnmountUnder(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("unmount what is below: %w", err)
	}
	if !filepath.IsAbs(dir) || dir == "/" {
		return fmt.Errorf("unmount what is below %q: that is not a directory of ours", dir)
	}
	mounts, err := mountsUnder(dir)
	if err != nil {
		return fmt.Errorf("unmount what is below %s: %w", dir, err)
	}
	deadline := time.Now().Add(sweepDeadline)
	for _, path := range mounts {
		if err := unmount(path, deadline); err != nil {
			return fmt.Errorf("unmount what is below %s: %w", dir, err)
		}
	}
	return nil
}

// mountsUnder lists mounts, the last first.
func mountsUnder(dir string) ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo") // see proc(5)
	if err != nil {
		return nil, err
	}
	// Blanks and the like are written as octal numbers.
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var found []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if path := plain.Replace(fields[4]); path == dir || strings.HasPrefix(path, dir+"/") {
			found = append(found, path)
		}
	}
	slices.Reverse(found)
	return found, nil
}
