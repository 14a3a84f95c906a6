package drill

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// appRun is the shipped program as a process with a temporary directory of its own and
// an environment that would lead it astray.
type appRun struct {
	*child
	tmp   string
	lines chan string // its output; closed at its end
}

func startApp(t *testing.T, args ...string) *appRun {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: for root, Postgres runs as a user who could not enter it.
	tmp, err := os.MkdirTemp("", "landfall-test-app-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tmp+"/.env", []byte("DATABASE_URL=postgres://nobody@127.0.0.1:1/none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = tmp, in, in
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "LANDFALL_LOG=nonsense")
	c, err := startChild(cmd)
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	r := &appRun{child: c, tmp: tmp, lines: make(chan string, 1000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(r.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.signal(syscall.SIGKILL)
		<-c.ended
		<-read
		out.Close()
		_ = os.RemoveAll(tmp)
	})
	return r
}

// until collects the lines up to one that contains text, or all.
func (r *appRun) until(t *testing.T, text string) []string {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	var seen []string
	for {
		select {
		case line, more := <-r.lines:
			if !more {
				return seen
			}
			seen = append(seen, line)
			if text != "" && strings.Contains(line, text) {
				return seen
			}
		case <-ctx.Done():
			t.Fatalf("no %q in\n%s", text, strings.Join(seen, "\n"))
		}
	}
}

// processLine is where a story names a process.
var processLine = regexp.MustCompile(`process (\d+)`)

// leftNothing checks that the processes it named are gone, and its files.
func (r *appRun) leftNothing(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		for _, found := range processLine.FindAllStringSubmatch(line, -1) {
			pid, err := strconv.Atoi(found[1])
			if err != nil || !gone(pid) {
				t.Errorf("process %s is still there (%s)", found[1], line)
			}
		}
	}
	entries, err := os.ReadDir(r.tmp)
	if err != nil || len(entries) != 1 { // .env
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
