//go:build unix

package node

import (
	"errors"
	"os"
	"syscall"
)

// lockExclusively holds until the file is closed or the process is gone,
// however it goes.
func lockExclusively(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// unlock gives the lock up and closes the file. Closing alone does not give it
// up while this process is starting a program: between fork and exec the child
// has the file open too.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// freeBytes is what an unprivileged process may still write in dir.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
