package pgserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// temporaryPrefix names the directories that Stop removes.
const temporaryPrefix = "landfall-postgres-"

// directory is where a server lives: the cluster in data/, the log, and a lock
// file that this process holds as long as the directory is its own.
type directory struct {
	path      string
	temporary bool
	owner     owner    // who runs Postgres and owns data/
	lock      *os.File // nil once closed
}

func (d *directory) data() string { return filepath.Join(d.path, "data") }
func (d *directory) log() string  { return filepath.Join(d.path, "postgres.log") }
func (d *directory) closed() bool { return d.lock == nil }

// openDirectory makes and locks the directory; "" means a temporary one.
func openDirectory(path string) (*directory, error) {
	d := &directory{path: path, temporary: path == ""}
	var err error
	if d.temporary {
		sweep()
		d.path, err = os.MkdirTemp("", temporaryPrefix)
		if err == nil {
			// Whoever runs Postgres must be able to pass through.
			err = os.Chmod(d.path, 0o711)
		}
	} else if d.path, err = filepath.Abs(path); err == nil {
		err = makeReachable(d.path)
	}
	if err != nil {
		return nil, err
	}
	if d.lock, err = lockFile(filepath.Join(d.path, "lock")); err != nil {
		return nil, fmt.Errorf("directory %s: %w", d.path, err)
	}
	if d.owner, err = findOwner(d.data()); err == nil {
		err = d.owner.reach(d.path)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// makeReachable creates the directory, if needed, so that another user can
// pass through. One that exists is left as it is.
func makeReachable(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o711)
}

// lockFile takes an exclusive lock, which ends with this process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("already in use by another private Postgres")
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}

// close gives the directory up, and removes a temporary one.
func (d *directory) close() error {
	if d.closed() {
		return nil
	}
	var err error
	if d.temporary {
		err = os.RemoveAll(d.path)
	}
	err = errors.Join(err, unlock(d.lock))
	d.lock = nil
	return err
}

// unlock gives the lock up. Closing alone does not while another goroutine is
// starting a program: between fork and exec the child has the file open too.
func unlock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// sweep removes temporary directories whose owners were killed before they
// could. A free lock says that nobody owns one; the age spares one that is
// just being made, and one whose Postgres is still ending.
func sweep() {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*")) // a fixed pattern
	for _, path := range found {
		lock := filepath.Join(path, "lock")
		info, err := os.Stat(lock)
		if err != nil || time.Since(info.ModTime()) < 10*time.Minute {
			continue
		}
		if f, err := lockFile(lock); err == nil {
			_ = os.RemoveAll(path) // another sweeper may be at it too
			_ = unlock(f)
		}
	}
}

// clusterVersion is the major version of the cluster in the directory, 0 if
// there is none.
func (d *directory) clusterVersion() (int, error) {
	b, err := os.ReadFile(filepath.Join(d.data(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("version of the cluster: %w", err)
	}
	return v, nil
}

// pidFile reads process id and status from the postmaster's pid file: its
// first and its eighth line. Zero values mean that there is nothing (yet).
func (d *directory) pidFile() (pid int, status string) {
	b, err := os.ReadFile(filepath.Join(d.data(), "postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(b), "\n")
	pid, _ = strconv.Atoi(lines[0]) // half-written: 0, looked at again
	if len(lines) > 7 {
		status = strings.TrimSpace(lines[7])
	}
	return pid, status
}

// logSize is where the next line of the log will begin.
func (d *directory) logSize() int64 {
	info, err := os.Stat(d.log())
	if err != nil {
		return 0
	}
	return info.Size()
}

// logTail is the end of what the log gained since it had the given size, as
// the continuation of an error. A caller with a log of its own has it there.
func (d *directory) logTail(since int64) string {
	f, err := os.Open(d.log())
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, since, 1<<16))
	if err != nil {
		return ""
	}
	return tail(string(b))
}
