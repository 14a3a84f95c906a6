package drill

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncDisk has everything on the disk that the file system of a directory
// holds in memory.
func syncDisk(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the disk: %w", err)
	}
	if err := errors.Join(unix.Syncfs(int(d.Fd())), d.Close()); err != nil {
		return fmt.Errorf("sync the disk of %s: %w", dir, err)
	}
	return nil
}
