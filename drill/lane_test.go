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
var lane = flag.String("lane", "", "longer `lanes` to run, with commas between them; or all, which is all that take minutes")

// lanes are all there are, in the order in which all of them run. They measure,
// so they run one after the other.
func lanes() []laneOf {
	return []laneOf{
		{"javascript", javascriptLane, true},
		{"repeat", repeatLane, true},
		{"upload", uploadLane, true},
		{"overload", overloadLane, true},
		{"rolling", rollingLane, true},
		{"kill", killLane, true},
		{"faults", faultsLane, true},
		{"ways", waysLane, true},
		{"disks", disksLane, true},
		{"tables", tablesLane, true},
		{"upsert", upsertLane, true},
		{"bugs", bugsLane, true},
		{"calm", calmLane, false},
	}
}

type laneOf struct {
	name string
	run  func(*testing.T)
	all  bool // it is one of all
}

func TestLane(t *testing.T) {
	if *lane == "" {
		return
	}
	known := make(map[string]func(*testing.T))
	var asked []string
	for _, l := range lanes() {
		known[l.name] = l.run
		if l.all && *lane == "all" {
			asked = append(asked, l.name)
		}
	}
	if *lane != "all" {
		asked = strings.Split(*lane, ",")
	}
	for _, name := range asked {
		run, ok := known[name]
		if !ok {
			t.Errorf("there is no lane %q", name)
			continue
		}
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
