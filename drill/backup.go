package drill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// copyTree copies a directory and everything in it to a new place, with
// owners and modes. Files are shared with the original where the file system
// can, and holes stay holes. Nothing may write there meanwhile, and nothing is
// flushed: the copy is for programs on this machine that end, not for a machine
// that does. If it fails or ctx ends, what was copied is removed.
func copyTree(ctx context.Context, from, to string) (err error) {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("copy %s: %s exists", from, to)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("copy %s: %w", from, err), os.RemoveAll(to))
		}
	}()
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyOne(path, filepath.Join(to, below), entry)
	})
}

// copyOne copies a directory without what is in it, a link, or a file.
func copyOne(from, to string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		// Whoever copies must be able to fill it.
		err = os.Mkdir(to, mode.Perm()|0o700)
	case mode.IsRegular():
		err = copyFile(from, to, info)
	case mode&fs.ModeSymlink != 0:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	default:
		return fmt.Errorf("%s is neither file, link nor directory", from)
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil // all of it is ours
	}
	return os.Lchown(to, int(owner.Uid), int(owner.Gid))
}

func copyFile(from, to string, info fs.FileInfo) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	// The process's mask may have taken something of the mode away.
	return errors.Join(copyContent(target, source, info.Size()), target.Chmod(info.Mode().Perm()), target.Close())
}
