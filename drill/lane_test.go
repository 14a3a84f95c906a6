package drill

import (
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Lanes are runs that take minutes, gigabytes or other languages' packages, so
// that they only run when they are asked for:
//
//	go test ./drill -run Lane -lane overload -v -timeout 30m
var lane = flag.String("lane", "", "longer `lanes` to run: overload, upload, repeat, javascript, rolling, ways, disks, bugs, with commas between them; or all, which is all but calm")

func TestLane(t *testing.T) {
	lanes := map[string]func(*testing.T){
		"overload":   overloadLane,
		"upload":     uploadLane,
		"repeat":     repeatLane,
		"javascript": javascriptLane,
		"rolling":    rollingLane,
		"kill":       killLane,
		"calm":       calmLane,
		"ways":       waysLane,
		"disks":      disksLane,
		"bugs":       bugsLane,
	}
	asked := strings.Split(*lane, ",")
	if *lane == "" {
		return
	}
	if *lane == "all" {
		asked = []string{"javascript", "repeat", "upload", "overload", "rolling", "ways", "disks", "bugs"}
	}
	for _, name := range asked {
		run, ok := lanes[name]
		if !ok {
			t.Errorf("there is no lane %q", name)
			continue
		}
		// One after the other: they measure.
		t.Run(name, run)
	}
}

// memory is what a process takes of the machine's memory now, and at most
// since it was last asked for from now on.
type memory struct {
	t   *testing.T
	pid int
}

var statusLine = regexp.MustCompile(`(?m)^(VmRSS|VmHWM):\s+(\d+) kB$`)

// read returns MiB.
func (m memory) read() (now, most int) {
	m.t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(m.pid) + "/status")
	if err != nil {
		m.t.Error(err)
		return 0, 0
	}
	for _, found := range statusLine.FindAllStringSubmatch(string(text), -1) {
		kib, _ := strconv.Atoi(found[2])
		if found[1] == "VmRSS" {
			now = kib >> 10
		} else {
			most = kib >> 10
		}
	}
	return now, most
}

// forget has the kernel begin anew with the most.
func (m memory) forget() {
	m.t.Helper()
	if err := os.WriteFile("/proc/"+strconv.Itoa(m.pid)+"/clear_refs", []byte("5"), 0); err != nil {
		m.t.Error(err)
	}
}

// rate is how many of something there were in a second.
func rate(n int, took time.Duration) int { return int(float64(n) / took.Seconds()) }
