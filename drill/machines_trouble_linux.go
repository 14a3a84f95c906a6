package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// nobody is a hardware address that no machine of ours has: the switch sends
// what bears it to all of them, and none takes it.
const nobody = "02:00:00:00:00:01"

// misdirect has what a machine sends to addresses go to nobody. A route that
// leads nowhere would tell the sender so, and with the filter for reversed
// paths keep it from hearing the others, too.
func (n *network) misdirect(from string, to []string) error {
	for _, address := range to {
		if err := ip("-n", n.namespace(from), "neigh", "replace", address, "lladdr", nobody, "dev", "eth0", "nud", "permanent"); err != nil {
			return err
		}
	}
	return nil
}

// direct has it go to them again: flushing what is not there is no error.
func (n *network) direct(from string, to []string) error {
	var errs []error
	for _, address := range to {
		errs = append(errs, ip("-n", n.namespace(from), "neigh", "flush", "to", address, "dev", "eth0", "nud", "permanent"))
	}
	return errors.Join(errs...)
}

// slowBurst is what a slow cable lets pass at once, and slowQueue how long
// what waits before it may be on its way.
const (
	slowBurst = "16kb"
	slowQueue = "400ms"
)

// ends are the two ends of a machine's cable, each of which limits what it
// sends.
func (n *network) ends(name string) [][2]string {
	return [][2]string{{n.namespace(name), "eth0"}, {n.namespace("switch"), name}}
}

func (n *network) slow(name string, kilobits, delayMillis int) error {
	rate := strconv.Itoa(kilobits) + "kbit"
	how := []string{"netem", "delay", strconv.Itoa(delayMillis) + "ms", "rate", rate}
	if !n.knows("netem", "delay", "1ms") {
		how = []string{"tbf", "rate", rate, "burst", slowBurst, "latency", slowQueue}
	}
	for _, end := range n.ends(name) {
		if err := discipline(end[0], end[1], how...); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) quicken(name string) error {
	var errs []error
	for _, end := range n.ends(name) {
		errs = append(errs, discipline(end[0], end[1], "noqueue"))
	}
	return errors.Join(errs...)
}

func (n *network) whyNotSlow() string {
	if _, err := exec.LookPath("tc"); err != nil {
		return "there is no program tc (package iproute2)"
	}
	if !n.knows("netem", "delay", "1ms") && !n.knows("tbf", "rate", "1mbit", "burst", slowBurst, "latency", slowQueue) {
		return "the kernel can neither delay nor limit what a cable carries (netem, tbf)"
	}
	return ""
}

// knows tells whether the kernel has a queueing discipline. The switch's own
// loopback, which carries nothing, has to try it.
func (n *network) knows(how ...string) bool {
	hub := n.namespace("switch")
	return discipline(hub, "lo", how...) == nil && discipline(hub, "lo", "noqueue") == nil
}

// discipline sets how an end of a cable queues what it sends.
func discipline(space, device string, how ...string) error {
	return command("tc", append([]string{"-n", space, "qdisc", "replace", "dev", device, "root"}, how...)...)
}

// reset has the kernel end a machine's connections with addresses, as if a
// reset had come, and tell the others.
func (n *network) reset(name string, with []string) (int, error) {
	return killSockets(n.machineCommand(name), "dst", strings.Join(with, " or dst "))
}

func (n *network) machineCommand(name string) []string {
	return []string{"ip", "netns", "exec", n.namespace(name)}
}

// killSockets ends the TCP connections that a filter of ss chooses.
func killSockets(enter []string, filter ...string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), ipDeadline)
	defer cancel()
	line := append(append(enter, "ss", "-K", "-H", "-t", "-n"), filter...)
	out, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, strings.TrimSpace(string(out)))
	}
	return strings.Count(string(out), "\n"), nil
}

// whyNoResets says what is missing for connections of others to be reset, or
// nothing: one of our own has to try it, for not every kernel can, and ss does
// not say so.
func whyNoResets() string {
	if _, err := exec.LookPath("ss"); err != nil {
		return "there is no program ss (package iproute2)"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err.Error()
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	port := strconv.Itoa(conn.LocalAddr().(*net.TCPAddr).Port)
	if _, err := killSockets(nil, "sport = :"+port); err != nil {
		return err.Error()
	}
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return err.Error()
	}
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); errors.As(err, &timeout) && timeout.Timeout() {
		return "the kernel does not end connections on demand (CONFIG_INET_DIAG_DESTROY)"
	}
	return ""
}
