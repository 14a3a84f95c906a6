//go:build !linux

package pgserver

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// stopWithParent does nothing: other systems have no parent-death signal. A
// server whose owner was killed there stays until it is stopped by hand.
func stopWithParent(*syscall.SysProcAttr) {}

// children lists the processes whose parent is pid.
func children(pid int) ([]int, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, err
	}
	var pids []int
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 2 && f[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(f[0]); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids, nil
}

// running tells whether the process exists.
func running(pid int) bool {
	return syscall.Kill(pid, 0) == nil
}
