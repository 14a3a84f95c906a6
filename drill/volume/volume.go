// Package volume makes small disks: ext4 file systems, each in a file of its
// own that is mounted as if it were a drive. They can be had full, stalled, or
// with the power cut, which a directory cannot. It takes Linux, root and
// mkfs.ext4; Lacking says what is missing.
//
// A power cut loses what the file system had not been told to keep: writes
// that were never fsynced. A drive's own cache is not played: what was flushed
// to the file is kept, in whatever order it came. A program that calls fsync
// too late, or never, is found out; a file system that lies is not.
package volume

import (
	"path/filepath"
	"sync"
)

// Volume is one mounted disk. Its methods may be called from several
// goroutines.
type Volume struct {
	image, mountpoint string

	mu       sync.Mutex
	anchored bool
	mounted  bool
	device   string // "loop3", while mounted
}

// Path is where it is mounted.
func (v *Volume) Path() string { return v.mountpoint }

// ballast is the file that fills a volume, in its root.
func (v *Volume) ballast() string { return filepath.Join(v.mountpoint, ".ballast") }
