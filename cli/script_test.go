package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/choria-io/fisk"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: in scripts, `exec app` starts
// it as a process of its own, as a user would.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"app": func() {
			os.Exit(ExitCode(Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)))
		},
		"stubborn": stubborn,
	})
}

// stubborn is a program with one command, which does not stop when asked to.
func stubborn() {
	e := &env{ctx: context.Background(), stdout: os.Stdout, stderr: os.Stderr}
	app := fisk.New("stubborn", "")
	e.do(app.Command("run", "").Default(), func(ctx context.Context) error {
		fmt.Fprintln(e.stdout, "started")
		<-ctx.Done()
		fmt.Fprintln(e.stdout, "asked to stop")
		select {}
	})
	_, err := app.Parse(nil)
	os.Exit(ExitCode(err))
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// Nothing of the user's own configuration may reach a script.
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, ".config"))
			// An address on which nothing listens.
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Setenv("NOWHERE", l.Addr().String())
			return l.Close()
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"nats":     startNATS,
			"probe":    startProbe,
			"port":     portOf,
			"public":   publicDir,
			"freeport": freePort,
			"until":    until,
			"killpid":  killPID,
			"http":     askHTTP,
		},
	})
}

// exits runs a program and compares its exit code: exits 2 app --bogus.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		got = ended.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// startNATS runs a NATS server until the script ends and puts its address into
// a variable: nats VARIABLE [token TOKEN] [stream SUBJECT].
func startNATS(ts *testscript.TestScript, _ bool, args []string) {
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	subject := ""
	for i := 1; i+1 < len(args); i += 2 {
		switch args[i] {
		case "token":
			opts.Authorization = args[i+1]
		case "stream":
			subject = args[i+1]
			opts.JetStream, opts.StoreDir = true, ts.MkAbs("js-"+args[0])
		}
	}
	s, err := server.NewServer(opts)
	ts.Check(err)
	s.Start()
	ts.Defer(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		ts.Fatalf("the NATS server is not ready")
	}
	ts.Setenv(args[0], s.Addr().String())
	if subject != "" {
		ts.Check(addStream(s.ClientURL(), opts.Authorization, subject))
	}
}

func addStream(url, token, subject string) error {
	nc, err := nats.Connect(url, nats.Token(token))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "MESSAGES", Subjects: []string{subject}})
	return err
}

// startProbe serves /readyz and /v1/status until the script ends: probe
// VARIABLE STATUS BODY.
func startProbe(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" && r.URL.Path != "/v1/status" {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, args[2])
	}))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.Listener.Addr().String())
}

// portOf puts the port of an address into a variable: port VARIABLE ADDRESS.
func portOf(ts *testscript.TestScript, _ bool, args []string) {
	_, port, err := net.SplitHostPort(args[1])
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// publicDir makes a directory that other users can pass through to, and puts
// it into a variable: as root, Postgres runs as another user.
func publicDir(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := os.MkdirTemp("", "landfall-cli-")
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	ts.Check(os.Chmod(dir, 0o711))
	ts.Setenv(args[0], dir)
}

// freePort puts the number of a free port into a variable. It is from below
// the range that systems take outgoing ports from.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	for range 100 {
		port := strconv.Itoa(15000 + rand.IntN(15000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			ts.Check(l.Close())
			ts.Setenv(args[0], port)
			return
		}
	}
	ts.Fatalf("no free port found")
}

// askHTTP prints what is answered: http POST 127.0.0.1:8231/v1/some/path.
func askHTTP(ts *testscript.TestScript, _ bool, args []string) {
	req, err := http.NewRequest(args[0], "http://"+args[1], nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
}

// until repeats a program until it exits with 0.
func until(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%v: still %v", args, err)
		}
	}
}

// killPID kills the process whose id is the first line of a file.
func killPID(ts *testscript.TestScript, _ bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	pid, err := strconv.Atoi(line)
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
}
