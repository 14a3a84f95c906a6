package drill

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"landfall/pgserver/pgtest"
)

var proofLine = regexp.MustCompile(`^acked 3000 · stored 3000 · lost 0 · duplicated 0 · longest publish gap \d+\.\ds$`)

func TestDemo(t *testing.T) {
	t.Parallel()
	d := startApp(t, "demo", "--messages", "3000", "--rate", "1000")
	lines := d.until(t, "")
	story := strings.Join(lines, "\n")
	how, err := d.wait(within(t, time.Minute))
	if err != nil || how != "exit status 0" {
		t.Fatalf("ended with %q, %v\n%s", how, err, story)
	}
	if !proofLine.MatchString(lines[len(lines)-1]) {
		t.Errorf("the last line is no proof:\n%s", story)
	}
	for _, part := range []string{"leads stream", "kill -9", "signal: killed", "after the kill", "started again", "before the kill"} {
		if !strings.Contains(story, part) {
			t.Errorf("the story does not tell %q:\n%s", part, story)
		}
	}
	d.leftNothing(t, lines)
}

func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"starting Postgres", "starting three nodes", "publishing", "kill -9", "started again"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			d := startApp(t, "demo", "--messages", "3000", "--rate", "1000")
			lines := d.until(t, at)
			if err := d.signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, d.until(t, "")...)
			how, err := d.wait(within(t, time.Minute))
			if err != nil || how != "exit status 1" {
				t.Errorf("ended with %q, %v\n%s", how, err, strings.Join(lines, "\n"))
			}
			d.leftNothing(t, lines)
		})
	}
}

// With somebody's own server the demo works in a database of its own there;
// --keep waits for Ctrl-C, and then that database is gone.
func TestDemoOnAGivenServer(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	execute(t, url, `CREATE TABLE messages (mine int)`)
	d := startApp(t, "demo", "--messages", "3000", "--rate", "1500", "--keep", "--database-url", url)
	lines := d.until(t, "acked ")
	if n := drillDatabases(t, url, lines); n != 1 {
		t.Errorf("%d databases while it is kept:\n%s", n, strings.Join(lines, "\n"))
	}
	if err := d.signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	lines = append(lines, d.until(t, "")...)
	how, err := d.wait(within(t, time.Minute))
	if err != nil || how != "exit status 0" || !proofLine.MatchString(lines[len(lines)-1]) {
		t.Errorf("ended with %q, %v\n%s", how, err, strings.Join(lines, "\n"))
	}
	if n := drillDatabases(t, url, lines); n != 0 {
		t.Errorf("its database is still there")
	}
	d.leftNothing(t, lines)
}

// drillDatabases counts the databases on the server that the story names.
func drillDatabases(t *testing.T, url string, story []string) int {
	t.Helper()
	name := regexp.MustCompile(`landfall_drill_\w+`).FindString(strings.Join(story, "\n"))
	ctx := within(t, 20*time.Second)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var n int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_database WHERE datname = $1`, name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A node that dies by itself is a failure, told with its name, and nothing is
// left then either.
func TestDemoFails(t *testing.T) {
	t.Parallel()
	d := startApp(t, "demo", "--messages", "20000", "--rate", "1000")
	lines := d.until(t, "publishing")
	var pid int
	for _, line := range lines {
		if found := processLine.FindStringSubmatch(line); found != nil && strings.Contains(line, "  n2 ") {
			pid, _ = strconv.Atoi(found[1])
		}
	}
	if pid == 0 {
		t.Fatalf("no n2 in\n%s", strings.Join(lines, "\n"))
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lines = append(lines, d.until(t, "")...)
	how, err := d.wait(within(t, time.Minute))
	if err != nil || how != "exit status 1" || !strings.Contains(strings.Join(lines, "\n"), "node n2 ended by itself: signal: killed") {
		t.Errorf("ended with %q, %v\n%s", how, err, strings.Join(lines, "\n"))
	}
	d.leftNothing(t, lines)
}
