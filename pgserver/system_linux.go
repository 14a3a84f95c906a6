package pgserver

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// stopWithParent makes the kernel ask the process to shut down (SIGINT, fast
// shutdown) when the thread that started it ends.
func stopWithParent(a *syscall.SysProcAttr) {
	a.Pdeathsig = syscall.SIGINT
}

// children lists the processes whose parent is pid. /proc is read instead of
// running ps, which small images lack.
func children(pid int) ([]int, error) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range names {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if _, parent, ok := processState(child); ok && parent == pid {
			pids = append(pids, child)
		}
	}
	return pids, nil
}

// running tells whether the process exists and is more than a zombie that
// nobody has collected yet.
func running(pid int) bool {
	state, _, ok := processState(pid)
	return ok && state != "Z" && state != "X"
}

// processState reads state and parent from /proc; ok is false if there is no
// such process. The fields follow the command's name in parentheses, which may
// itself contain anything.
func processState(pid int) (state string, parent int, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, false
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 2 {
		return "", 0, false
	}
	parent, err = strconv.Atoi(f[1])
	return f[0], parent, err == nil
}
