package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is the user that Postgres runs as: ourselves, except that Postgres
// refuses to run as root.
type owner struct {
	name       string
	credential *syscall.Credential // nil: ourselves
}

// findOwner picks the user. For root it is the one who owns the cluster that
// is already there, else postgres, else nobody.
func findOwner(data string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{name: "this user"}, nil
	}
	if info, err := os.Stat(data); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return owner{"user " + strconv.Itoa(int(st.Uid)), &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return owner{}, fmt.Errorf("user %s: %w", name, err)
		}
		return owner{"user " + name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return owner{}, errors.New("postgres refuses to run as root, and there is neither a user postgres nor nobody")
}

// attributes for a process of this user, in a process group of its own:
// Ctrl-C on the terminal is for us, who then stop Postgres in turn.
func (o owner) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: o.credential, Setpgid: true}
}

// mkdir makes a directory that belongs to the user alone.
func (o owner) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return o.chown(path)
}

// writeFile makes a file that only the user (and root) can read.
func (o owner) writeFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return o.chown(path)
}

func (o owner) chown(path string) error {
	if o.credential == nil {
		return nil
	}
	return os.Chown(path, int(o.credential.Uid), int(o.credential.Gid))
}

// reach says why the user could not pass through to the directory: below
// /root, for example. Better than what initdb would say.
func (o owner) reach(dir string) error {
	if o.credential == nil {
		return nil
	}
	for path := dir; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !o.passes(info) {
			return fmt.Errorf("as root, Postgres runs as %s, who cannot enter %s; choose a directory elsewhere", o.name, path)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// passes tells whether the user may pass through a directory.
func (o owner) passes(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return true
	case st.Uid == o.credential.Uid:
		return info.Mode()&0o100 != 0
	case st.Gid == o.credential.Gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}

// Reachable says why a server could not keep its files in a directory (which
// need not exist yet), or returns nil. It differs from ordinary permission for
// root alone, because Postgres then runs as another user.
func Reachable(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	o, err := findOwner(filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			return o.reach(dir)
		}
		dir = filepath.Dir(dir)
	}
}
