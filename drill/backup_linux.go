package drill

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// copyContent shares the content if the file system can; else it copies what
// there is between the holes.
func copyContent(target, source *os.File, size int64) error {
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	for at := int64(0); at < size; {
		begin, err := source.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole
			break
		}
		if err != nil {
			return err
		}
		end, err := source.Seek(begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := source.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		if _, err := target.Seek(begin, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(target, source, end-begin); err != nil {
			return err
		}
		at = end
	}
	return target.Truncate(size)
}
