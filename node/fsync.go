package node

import (
	"fmt"
	"os"
	"slices"
	"time"
)

const (
	probeWrites = 100
	probeTime   = 300 * time.Millisecond
)

// probeFsync measures how long slow fsyncs take in dir. It returns the second
// longest of up to a hundred: a single one in so few says more about chance
// than about the disk.
func probeFsync(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "fsync-probe-*")
	if err != nil {
		return 0, fmt.Errorf("probe fsync: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	block := make([]byte, 4096)
	var took []time.Duration
	for start := time.Now(); len(took) < probeWrites && time.Since(start) < probeTime; {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, fmt.Errorf("probe fsync: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("probe fsync: %w", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[max(0, len(took)-2)], nil
}
