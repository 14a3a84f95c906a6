package pgserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

// ownerVariable makes the test binary run as the owner of a server, for the
// test that kills it.
const ownerVariable = "PGSERVER_TEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) != "" {
		own()
		return
	}
	pgtest.Main(m)
}

// frozenVariable has the owner freeze the server, too.
const frozenVariable = "PGSERVER_TEST_FREEZE"

// own starts a server, says which, and waits to be killed.
func own() {
	s, err := pgserver.Start(context.Background(), pgserver.Options{Dir: os.Getenv(ownerVariable)})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if os.Getenv(frozenVariable) != "" {
		if err := s.Freeze(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println(s.PID(), s.Port())
	<-s.Done()
}

// query runs SQL that must succeed.
func query(t *testing.T, s *pgserver.Server, statements string) string {
	t.Helper()
	out, err := s.SQL(t.Context(), "app", statements)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestServesAndStops(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	if want := fmt.Sprintf("postgres://app:app@127.0.0.1:%d/app", s.Port()); s.URL() != want {
		t.Errorf("URL %s, want %s", s.URL(), want)
	}
	got := query(t, s, `SELECT current_user, current_database(), current_setting('fsync'),
		current_setting('server_encoding'), current_setting('listen_addresses')`)
	if want := "app|app|on|UTF8|127.0.0.1"; got != want {
		t.Errorf("server is %s, want %s", got, want)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", s.PSQL()+" -XAtc 'SELECT 6*7'").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "42" {
		t.Errorf("the psql line prints %q, %v", out, err)
	}
	wrong := strings.Replace(s.URL(), "app:app", "app:wrong", 1)
	out, err = exec.CommandContext(t.Context(), "psql", "-Xwc", "SELECT 1", wrong).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "password authentication failed") {
		t.Errorf("psql with a wrong password: %v, %s", err, out)
	}

	// Stop leaves nothing of it behind.
	pid := s.PID()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory after Stop: %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("postmaster after Stop: %v", err)
	}
}

func TestTakesAnyNames(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, pgserver.Options{
		User: "Ann Lee", Password: `p@ss:w/ö rd"'%`, Database: `My "own" db`,
		Settings: map[string]string{"max_connections": "17"},
	})
	got, err := s.SQL(t.Context(), `My "own" db`, `SELECT current_user, current_database(), current_setting('max_connections')`)
	if err != nil {
		t.Fatal(err)
	}
	if want := `Ann Lee|My "own" db|17`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKeepsItsDirectory(t *testing.T) {
	t.Parallel()
	o := pgserver.Options{Dir: pgtest.Dir(t)}
	first := pgtest.Start(t, o)
	query(t, first, `CREATE TABLE kept AS SELECT 1 AS n`)

	if _, err := pgserver.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("start in a directory in use: %v", err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if err := first.Restart(t.Context()); err == nil {
		t.Error("Restart after Stop succeeds")
	}
	second := pgtest.Start(t, o)
	if got := query(t, second, `SELECT n FROM kept`); got != "1" {
		t.Errorf("kept %q", got)
	}
}

func TestNamesAForeignPostmaster(t *testing.T) {
	t.Parallel()
	o := pgserver.Options{Dir: pgtest.Dir(t)}
	s := pgtest.Start(t, o)
	// Without our lock file it is a postmaster like any other's.
	if err := os.Remove(filepath.Join(o.Dir, "lock")); err != nil {
		t.Fatal(err)
	}
	_, err := pgserver.Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "in use by another Postgres, process "+strconv.Itoa(s.PID())) {
		t.Errorf("start beside a foreign postmaster: %v", err)
	}
	query(t, s, `SELECT 1`) // unharmed
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	query(t, s, `CREATE TABLE durable AS SELECT generate_series(1, 1000) AS n`)
	url, done := s.URL(), s.Done()
	// A session that computes does not look whether its postmaster lives: left
	// alone it would survive, and keep a new postmaster from starting.
	busy := exec.CommandContext(t.Context(), "psql", "-Xc", "DO $$ BEGIN LOOP END LOOP; END $$", url)
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = busy.Process.Kill()
		_ = busy.Wait()
	})
	var session int
	eventually(t, "the session computes", func() bool {
		var err error
		session, err = strconv.Atoi(query(t, s, `SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO%' AND pid <> pg_backend_pid()`))
		return err == nil
	})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if alive(session) {
		_ = syscall.Kill(session, syscall.SIGKILL)
		t.Error("the busy session survived")
	}
	select {
	case <-done:
	default:
		t.Error("Done is open after Kill")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.URL() != url {
		t.Errorf("URL was %s, is %s", url, s.URL())
	}
	if got := query(t, s, `SELECT count(*) FROM durable`); got != "1000" {
		t.Errorf("%s rows after the crash", got)
	}

	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Errorf("Restart of a running server: %v", err)
	}
	query(t, s, `SELECT 1`)
}

// A frozen server answers nobody, and goes on where it was.
func TestFreezeAndThaw(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := s.SQL(t.Context(), "app", `SELECT 1`)
		answer <- err
	}()
	select {
	case err := <-answer:
		t.Errorf("a frozen server answers: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}
	// However it is left, what comes next can be done.
	for _, end := range []func() error{s.Kill, s.Shutdown} {
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := end(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("the end of a frozen server took %s", took)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		query(t, s, `SELECT 1`)
	}
	if err := errors.Join(s.Freeze(), s.Freeze(), s.Thaw(), s.Thaw()); err != nil {
		t.Error(err)
	}
	query(t, s, `SELECT 1`)
}

func TestDiesWithItsOwner(t *testing.T) {
	t.Parallel()
	for name, frozen := range map[string]string{"running": "", "frozen": "yes"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diesWithItsOwner(t, frozen)
		})
	}
}

func diesWithItsOwner(t *testing.T, frozen string) {
	dir := pgtest.Dir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.CommandContext(t.Context(), self)
	owner.Env = append(os.Environ(), ownerVariable+"="+dir, frozenVariable+"="+frozen)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid, port int
	if _, err := fmt.Sscan(line, &pid, &port); err != nil {
		t.Fatalf("owner says %q", line)
	}
	if !alive(pid) {
		t.Fatal("the owner's postmaster does not run")
	}
	t.Cleanup(func() {
		if alive(pid) { // the test failed
			_ = syscall.Kill(pid, syscall.SIGQUIT)
		}
	})
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()

	// Whoever comes next need not wait for the old one by hand.
	s := pgtest.Start(t, pgserver.Options{Dir: dir, Port: port})
	query(t, s, `SELECT 1`)
	eventually(t, "the owner's postmaster is gone", func() bool { return !alive(pid) })
}

func TestStartsOverAfterAnInterruptedStart(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := pgserver.Start(ctx, pgserver.Options{Dir: dir})
		failed <- err
	}()
	eventually(t, "initdb is at work", func() bool {
		_, err := os.Stat(filepath.Join(dir, "data.new", "base"))
		return err == nil
	})
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted start: %v", err)
	}
	query(t, pgtest.Start(t, pgserver.Options{Dir: dir}), `SELECT 1`)
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() }) // after the parallel cases
	port := busy.Addr().(*net.TCPAddr).Port
	for name, c := range map[string]struct {
		options pgserver.Options
		want    string
	}{
		"port in use":   {pgserver.Options{Port: port}, fmt.Sprintf("port %d cannot be had", port)},
		"no such port":  {pgserver.Options{Port: 70000}, "70000 is not a port"},
		"wrong setting": {pgserver.Options{Settings: map[string]string{"work_mem": "much"}}, `invalid value for parameter "work_mem"`},
		"open to all":   {pgserver.Options{Listen: "127.0.0.2"}, "without a password of its own"},
		"no address":    {pgserver.Options{Listen: "localhost"}, "localhost"},
		"line break":    {pgserver.Options{Password: "a\nb"}, "contains a line break"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := pgserver.Start(t.Context(), c.options)
			if err == nil {
				t.Fatal("started", s.Stop())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestFreshDatabases(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			out, err := exec.CommandContext(t.Context(), "psql", "-XAtc", `CREATE TABLE mine (n int); SELECT 1`, url).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// eventually waits for a condition, with a deadline.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain until", what)
		}
	}
}

// alive tells whether a process exists and is not a zombie whose adoptive
// parent is slow to collect it.
func alive(pid int) bool {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		return !strings.Contains(string(stat), ") Z ")
	}
	return syscall.Kill(pid, 0) == nil
}
