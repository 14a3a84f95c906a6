package node

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// diskPatience is for how many looks in a row the disk must fail.
const diskPatience = 3

// disk keeps an eye on what holds the node's files. The server notices a disk
// that fails when it next writes, which on a quiet node may be much later, and
// a directory that was removed under it perhaps never: it goes on writing into
// files that nobody will find again.
type disk struct {
	lock   *os.File // in the data directory, and open since before the server was
	path   string   // where it has to be
	failed int      // looks in a row

	synced func(took time.Duration) // told of each fsync
}

// look writes to the disk and returns an error if that has failed for some
// time. It waits as long as the disk takes.
func (d *disk) look() error {
	err := d.probe()
	if err == nil {
		d.failed = 0
		return nil
	}
	if d.failed++; d.failed < diskPatience {
		return nil
	}
	return fmt.Errorf("the data directory has failed: %w", err)
}

var errMoved = errors.New("it was removed or replaced while the node is running")

func (d *disk) probe() error {
	ours, err := d.lock.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(d.path)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(ours, there):
		return errMoved
	case err != nil:
		return err
	}
	_, err = d.lock.WriteAt([]byte("\n"), 0)
	if err == nil {
		began := time.Now()
		if err = d.lock.Sync(); err == nil {
			d.synced(time.Since(began))
		}
	}
	// A full disk is the server's to judge: it can do without this file.
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	return err
}
