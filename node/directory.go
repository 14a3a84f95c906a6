package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"landfall/cluster"
)

// ErrForeignDirectory is a data directory that belongs to something else:
// another node, another cluster, or another program.
var ErrForeignDirectory = errors.New("data directory is not this node's")

// ErrDirectoryInUse is a data directory that another process is using.
var ErrDirectoryInUse = errors.New("data directory is in use by another process")

// ErrDiskRoom is a disk with less room than the streams may need.
var ErrDiskRoom = errors.New("not enough disk space")

const (
	identityFile = "node.json"
	lockFile     = "lock"
)

// identity says whose a data directory is. Alone is part of it because a
// clustered server drops streams that a server of its own has made, and the
// other way round.
type identity struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Alone   bool   `json:"alone"` // the cluster's only node
}

// openDirectory makes the node's data directory, or recognises it, and locks
// it. The returned file holds the lock until it is closed.
func openDirectory(cfg *cluster.Config, name string) (dir string, lock *os.File, err error) {
	dir = cfg.DataDir(name)
	if err := makeDirectory(dir); err != nil {
		return "", nil, fmt.Errorf("data directory: %w; may this user write there? \"data\" in cluster.yaml names another", err)
	}
	lock, err = os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("lock data directory: %w", err)
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if err := lockExclusively(lock); err != nil {
		return "", nil, fmt.Errorf("%w: %s (%w); is this node running already?", ErrDirectoryInUse, dir, err)
	}
	want := identity{Cluster: cfg.Name, Node: name, Alone: len(cfg.Nodes) == 1}
	if err := checkIdentity(dir, want); err != nil {
		return "", nil, err
	}
	return dir, lock, nil
}

// makeDirectory creates the node's directory for this user alone. What is above
// it stays passable: a Postgres of another user may have its own beside it.
func makeDirectory(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil // or no directory, as opening the lock will say
	}
	return err
}

// checkIdentity compares the directory's identity, or writes it into an empty
// one.
func checkIdentity(dir string, want identity) error {
	path := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := mustBeEmpty(dir); err != nil {
			return err
		}
		return writeIdentity(path, want)
	}
	if err != nil {
		return fmt.Errorf("read data directory's identity: %w", err)
	}
	var have identity
	if err := json.Unmarshal(text, &have); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrForeignDirectory, path, err)
	}
	if have.Cluster != want.Cluster || have.Node != want.Node {
		return fmt.Errorf("%w: %s belongs to node %q of cluster %q, this is node %q of cluster %q; use another \"data\" directory, or the right --node",
			ErrForeignDirectory, dir, have.Node, have.Cluster, want.Node, want.Cluster)
	}
	if have.Alone != want.Alone {
		return fmt.Errorf("%w: %s was used with %s, cluster.yaml now has %s; streams do not survive that change, so use another \"data\" directory",
			ErrForeignDirectory, dir, have.kind(), want.kind())
	}
	return nil
}

func (i identity) kind() string {
	if i.Alone {
		return "a single node"
	}
	return "several nodes"
}

func mustBeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != lockFile && e.Name() != identityFile+".new" {
			return fmt.Errorf("%w: %s holds %s but no %s; use another \"data\" directory",
				ErrForeignDirectory, dir, e.Name(), identityFile)
		}
	}
	return nil
}

// writeIdentity writes the file whole or not at all.
func writeIdentity(path string, id identity) error {
	text, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("write data directory's identity: %w", err)
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write data directory's identity: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write data directory's identity: %w", err)
	}
	return nil
}

// checkRoom refuses a disk that cannot hold what the streams may hold, beside
// what is there already, and the Raft logs. A full disk ends JetStream in the
// whole process, while a full stream only refuses new messages.
func checkRoom(dir string, cfg *cluster.Config) error {
	free, err := freeBytes(dir)
	if err != nil {
		return fmt.Errorf("free disk space of %s: %w", dir, err)
	}
	used, err := usedBytes(filepath.Join(dir, "jetstream"))
	if err != nil {
		return fmt.Errorf("used disk space of %s: %w", dir, err)
	}
	raft := streamBytes(cfg)/8 + int64(len(cfg.Streams))*(64<<20)
	if need := streamBytes(cfg) + raft; free+used < need {
		return fmt.Errorf("%w: the streams' max_bytes and their logs need %d MiB in %s, and there are %d MiB; free some, lower max_bytes, or use another \"data\" directory",
			ErrDiskRoom, need>>20, dir, (free+used)>>20)
	}
	return nil
}

func usedBytes(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return sum, err
}
