package drill

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"landfall/drill/volume"
)

// directoryPrefix names the directories of clusters, all of them temporary.
const directoryPrefix = "landfall-nodes-"

// sweepAge spares a directory that is just being made, and one whose nodes are
// still ending.
const sweepAge = time.Minute

// ownDirectory makes a directory for a cluster, and holds a lock in it, which
// ends with this process: so that a later one can tell that it has no owner.
func ownDirectory() (string, *os.File, error) {
	sweepDirectories()
	dir, err := os.MkdirTemp("", directoryPrefix)
	if err != nil {
		return "", nil, err
	}
	// A private Postgres that has its disk in here runs as a user who must be
	// able to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// removeDirectory removes a cluster's directory and everything in it, also
// what is still mounted there.
func removeDirectory(dir string) error {
	if err := volume.UnmountUnder(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the cluster's directory: %w", err)
	}
	return os.RemoveAll(dir)
}

// emptyDirectory removes what is in a directory, which itself may be a mount
// and stays. One that is not there is empty.
func emptyDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// lockFile takes an exclusive lock, or says at once that it is taken.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweepDirectories removes what was left by owners that were killed before
// they could.
func sweepDirectories() {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), directoryPrefix+"*")) // a fixed pattern
	for _, dir := range found {
		info, err := os.Stat(filepath.Join(dir, "lock"))
		if err != nil || time.Since(info.ModTime()) < sweepAge {
			continue
		}
		if lock, err := lockFile(filepath.Join(dir, "lock")); err == nil {
			// Another sweeper may be at it too; and what is still in use on a
			// disk in there is left for the next one.
			_ = removeDirectory(dir)
			lock.Close()
		}
	}
}
