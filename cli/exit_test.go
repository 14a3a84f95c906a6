package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err     error
		code    int
		printed string
	}{
		{nil, 0, ""},
		{errors.New("store: away"), 1, "app: store: away\n"},
		{errReported, 1, ""},
		{errInterrupted, 1, "app: interrupted\n"},
		{misuse(errors.New("no such key"), "see there"), 2, "app: no such key\nsee there\n"},
		{fmt.Errorf("load: %w", misuse(errors.New("no such key"), "")), 2, "app: load: no such key\n"},
		{misuse(errReported, ""), 2, ""},
	} {
		var printed bytes.Buffer
		report(&printed, c.err)
		if code := ExitCode(c.err); code != c.code || printed.String() != c.printed {
			t.Errorf("%v: code %d, printed %q, want %d, %q", c.err, code, printed.String(), c.code, c.printed)
		}
	}
}

// The first signal asks a command to stop, the next ends even one that does
// not obey.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("stubborn") // stubborn() in script_test.go
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	lines := bufio.NewScanner(stdout)
	expect := func(want string) {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it said %q, want %q", lines.Text(), want)
		}
	}
	expect("started")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	expect("asked to stop")

	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // its state is judged below
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case <-tick.C: // the first tick may come before the signal has its old effect again
			_ = cmd.Process.Signal(os.Interrupt) // fails once it has ended
		case <-ended:
			status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
				t.Fatalf("it ended with %v", cmd.ProcessState)
			}
			return
		case <-deadline:
			t.Fatal("a second signal did not end it")
		}
	}
}

func TestVersionsOf(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{
		Main: debug.Module{Path: "landfall", Version: "v0.0.0-20260801"},
		Deps: []*debug.Module{
			{Path: "github.com/nats-io/nats-server/v2", Version: "v2.1"},
			{Path: "github.com/nats-io/nats.go", Version: "v1.2"},
			{Path: "github.com/jackc/pgx/v5", Version: "v5.3"},
		},
	}
	v := versionsOf("", info)
	if v.App != "v0.0.0-20260801" || v.NATSServer != "v2.1" || v.NATSGo != "v1.2" || v.PGX != "v5.3" {
		t.Errorf("got %+v", v)
	}
	if v := versionsOf("v1.0.0", info); v.App != "v1.0.0" {
		t.Errorf("the linker's version does not win: %+v", v)
	}
	if v := versionsOf("", &debug.BuildInfo{}); v.App != "(devel)" || v.PGX != "unknown" {
		t.Errorf("got %+v", v)
	}
}
