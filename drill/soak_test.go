package drill

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var soakProof = regexp.MustCompile(`^acked \d+ · stored \d+ .*lost 0 · duplicated 0 · longest publish gap \d+\.\ds$`)

// Every run of the suite meets other faults, of all kinds that this machine
// can have. The seed that it prints brings them back: app drill --seed.
func TestSoak(t *testing.T) {
	t.Parallel()
	d := startApp(t, "drill", "--duration", "45s", "--rate", "300")
	lines := d.until(t, "holding the ledger")
	lines = append(lines, d.until(t, "")...)
	how, err := d.wait(within(t, time.Minute))
	if story := strings.Join(lines, "\n"); err != nil || how != "exit status 0" || !soakProof.MatchString(lines[len(lines)-1]) {
		t.Fatalf("ended with %q, %v\n%s", how, err, story)
	}
	t.Log(strings.Join(lines[len(lines)-2:], "\n"))
	d.leftNothing(t, lines)
}

// A drill that is ended takes everything with it, whatever is broken just then.
func TestSoakInterrupted(t *testing.T) {
	t.Parallel()
	for at, faults := range map[string]string{
		"setting up":           "kill",
		"SIGSTOP of":           "freeze-two",
		"is pulled":            "net-isolate",
		"Postgres is frozen":   "pg-freeze",
		"every write":          "fsync-stall",
		"has no room left":     "node-disk-full",
		"COMMIT held":          "commit-slow",
		"holding the replicas": "kill-leader",
	} {
		t.Run(faults, func(t *testing.T) {
			t.Parallel()
			d := startApp(t, "drill", "--duration", "1s", "--rate", "100", "--faults", faults)
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
