package drill

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAChildTellsHowItEnded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		command []string
		signal  os.Signal
		want    string
	}{
		{"killed", []string{"sleep", "300"}, syscall.SIGKILL, "signal: killed"},
		{"terminated", []string{"sleep", "300"}, syscall.SIGTERM, "signal: terminated"},
		{"by itself", []string{"sh", "-c", "exit 3"}, nil, "exit status 3"},
		{"well", []string{"true"}, nil, "exit status 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := startChild(exec.Command(tc.command[0], tc.command[1:]...))
			if err != nil {
				t.Fatal(err)
			}
			if tc.signal != nil {
				if !c.running() {
					t.Error("not running before the signal")
				}
				if err := c.signal(tc.signal); err != nil {
					t.Fatal(err)
				}
			}
			how, err := c.wait(within(t, 10*time.Second))
			if err != nil || how != tc.want {
				t.Errorf("ended with %q, %v; want %q", how, err, tc.want)
			}
			if c.running() {
				t.Error("still running after its end")
			}
			if err := c.signal(syscall.SIGKILL); err != nil {
				t.Errorf("a signal to one that is gone: %v", err)
			}
		})
	}
}

func TestAChildThatCannotStart(t *testing.T) {
	t.Parallel()
	if _, err := startChild(exec.Command("/nonexistent/program")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tell a process to die with its parent")
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentRole+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the parent says %q", line)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child is not there: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	err = poll(within(t, 10*time.Second), 5*time.Millisecond, func(context.Context) (bool, error) {
		return gone(pid), nil
	})
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Errorf("child %d outlives its parent: %v", pid, err)
	}
}

// gone tells whether a process has ended; a zombie that nobody collects, as in
// a container without an init, has.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}

// within is a context that ends after d, or with the test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
