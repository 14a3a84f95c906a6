package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// postmaster is one running (or ended) postgres process.
type postmaster struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and err is set
	err  error         // how it ended
}

// launch starts the command and a goroutine that waits for its end. The
// goroutine keeps its thread: the kernel sends the parent-death signal when
// the *thread* that started the process ends, not the process.
func launch(cmd *exec.Cmd) (*postmaster, error) {
	p := &postmaster{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if p.err = cmd.Wait(); p.err == nil {
			p.err = errors.New("exit status 0")
		}
	}()
	return p, <-started
}

// ended tells whether the process is gone.
func (p *postmaster) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends a signal; one that comes too late does nothing.
func (p *postmaster) signal(sig os.Signal) {
	_ = p.cmd.Process.Signal(sig)
}

// kill ends the postmaster and its processes with SIGKILL. The postmaster is
// halted first: a halted one starts no new processes and reaps none, so the
// list is complete and no number on it can belong to somebody else.
func (p *postmaster) kill() error {
	if p.ended() {
		return nil
	}
	p.signal(syscall.SIGSTOP)
	pids, err := children(p.cmd.Process.Pid)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	if err != nil {
		return fmt.Errorf("list the processes of postgres: %w", err)
	}
	return awaitGone(pids)
}

// awaitGone waits for killed processes to disappear: a new postmaster refuses
// to start while one of them holds the shared memory.
func awaitGone(pids []int) error {
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for len(pids) > 0 {
		if !running(pids[0]) {
			pids = pids[1:]
			continue
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("processes %v of postgres survive SIGKILL", pids)
		}
	}
	return nil
}

// environment is ours without what would steer Postgres elsewhere.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}
