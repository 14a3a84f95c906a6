package drill

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks is how many of them the kernel tells in a second: it is the same on
// all machines that Go runs on.
const ticks = 100

var errProc = errors.New("/proc does not read as it should")

// vitalsOf reads what the kernel knows of a process.
func vitalsOf(pid int) (v Vitals, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	files, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return v, fmt.Errorf("count open files: %w", err)
	}
	v.Files = len(files)
	statm, err := os.ReadFile(dir + "/statm") // size, resident, ... in pages
	if err != nil {
		return v, fmt.Errorf("measure memory: %w", err)
	}
	sizes := strings.Fields(string(statm))
	if len(sizes) < 2 {
		return v, fmt.Errorf("%w: statm %q", errProc, statm)
	}
	pages, err := strconv.ParseInt(sizes[1], 10, 64)
	if err != nil {
		return v, fmt.Errorf("%w: statm: %w", errProc, err)
	}
	v.Memory = pages * int64(os.Getpagesize())
	v.Age, err = ageOf(dir)
	return v, err
}

// ageOf is the machine's time since it was started, without the process's
// start in it.
func ageOf(dir string) (time.Duration, error) {
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, fmt.Errorf("tell the process's age: %w", err)
	}
	// The second field is the program's name in brackets and may hold anything;
	// the start is field 22.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	up, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, fmt.Errorf("tell the process's age: %w", err)
	}
	uptime := strings.Fields(string(up))
	if len(fields) < 20 || len(uptime) < 1 {
		return 0, fmt.Errorf("%w: stat %q", errProc, stat)
	}
	began, err1 := strconv.ParseInt(fields[19], 10, 64)
	now, err2 := strconv.ParseFloat(uptime[0], 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("%w: %w", errProc, err)
	}
	return time.Duration(now*float64(time.Second)) - time.Duration(began)*(time.Second/ticks), nil
}
