package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// namespacePrefix begins the names of all namespaces of ours. The process that
// owns one follows, so that those of the dead can be told.
const namespacePrefix = "landfall-"

// namespaceFiles is where `ip netns exec` takes a namespace's own /etc/hosts from.
const namespaceFiles = "/etc/netns"

func writeHosts(space, hosts string) error {
	dir := filepath.Join(namespaceFiles, space)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("name the machines: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte(hosts), 0o644); err != nil {
		return fmt.Errorf("name the machines: %w", err)
	}
	return nil
}

func removeNamespace(space string) error {
	if err := os.RemoveAll(filepath.Join(namespaceFiles, space)); err != nil {
		return fmt.Errorf("remove namespace %s: %w", space, err)
	}
	if _, err := os.Stat(filepath.Join("/run/netns", space)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return ip("netns", "del", space)
}

// sweepNetworks removes what processes left that were killed before they
// could. Another one may be sweeping too: what is gone is gone.
func sweepNetworks() {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return // there are none
	}
	for _, e := range entries {
		owner, _, _ := strings.Cut(strings.TrimPrefix(e.Name(), namespacePrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || !strings.HasPrefix(e.Name(), namespacePrefix) || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		_ = removeNamespace(e.Name()) // the next one tries again
	}
}

// ipDeadline bounds one call of ip, which takes milliseconds.
const ipDeadline = 30 * time.Second

// all runs one ip after the other, until one fails.
func all(calls ...[]string) error {
	for _, args := range calls {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

func ip(args ...string) error { return command("ip", args...) }

// command runs one of the programs that set up networks.
func command(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), ipDeadline)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
