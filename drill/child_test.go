package drill

import (
	"context"
	"errors"
	"os"
	"os/exec"
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
