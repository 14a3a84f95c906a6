package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// child is one process of ours, from start to end. Its goroutine waits for it
// and closes ended; whoever starts a child must see it ended.
type child struct {
	process *os.Process
	ended   chan struct{}
	how     string // "signal: killed", "exit status 1"; read after ended
	meant   bool   // its end is our doing; guarded by the cluster's mutex
}

// startChild starts a command. The thread that starts a child waits for it,
// and does nothing else: on Linux the child is told to die when that very
// thread does, which then happens only when this whole process dies.
func startChild(cmd *exec.Cmd) (*child, error) {
	cmd.SysProcAttr = dieWithParent()
	c := &child{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		c.process = cmd.Process
		started <- err
		if err != nil {
			return
		}
		// Wait fails for every status but zero; the state says it better.
		_ = cmd.Wait()
		c.how = cmd.ProcessState.String()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// signal sends a signal; that the child is gone already is not an error.
func (c *child) signal(s os.Signal) error {
	if err := c.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", c.process.Pid, err)
	}
	return nil
}

// wait waits until the child has ended and tells how.
func (c *child) wait(ctx context.Context) (string, error) {
	select {
	case <-c.ended:
		return c.how, nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait for process %d: %w", c.process.Pid, context.Cause(ctx))
	}
}

// running tells whether it has not ended yet.
func (c *child) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}
