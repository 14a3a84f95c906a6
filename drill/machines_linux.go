package drill

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// network is one switch in a namespace of its own, with a cable to each
// machine's namespace and one to ours. The switch stands apart so that no
// firewall of this machine sits between the machines.
type network struct {
	index int // of its subnet; also names our end of the cable
	names []string
}

// The subnets are cut from the range that RFC 2544 sets aside for tests of
// networks: 8192 of 14 addresses each.
const (
	subnets    = 1 << 13
	subnetBits = 28
	firstOf    = 2 // of the machines; our own end is 1
)

// The capabilities that it takes, as bits of CapEff: see capabilities(7).
const (
	capNetAdmin = 12
	capSysAdmin = 21
)

// whyNoNetwork says what is missing for namespaces, or nothing.
func whyNoNetwork() string {
	if _, err := exec.LookPath("ip"); err != nil {
		return "there is no program ip (package iproute2)"
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	_, rest, _ := strings.Cut(string(status), "CapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil || caps&(1<<capNetAdmin) == 0 || caps&(1<<capSysAdmin) == 0 {
		return "the rights to make network namespaces are missing"
	}
	return ""
}

// newNetwork sets everything up, or leaves nothing.
func newNetwork(names []string) (*network, []Machine, error) {
	sweepNetworks()
	n, err := claimNetwork()
	if err != nil {
		return nil, nil, err
	}
	n.names = names
	list, err := n.setUp()
	if err != nil {
		return nil, nil, errors.Join(err, n.remove())
	}
	return n, list, nil
}

// claimNetwork finds a subnet that nobody uses. Two processes cannot get the
// same one: our end of the cable bears its number, and the kernel refuses a
// second interface of one name.
func claimNetwork() (*network, error) {
	var last error
	for range 20 {
		n := &network{index: rand.IntN(subnets)}
		if n.taken() {
			continue
		}
		if last = ip("netns", "add", n.namespace("switch")); last != nil {
			return nil, last
		}
		last = ip("link", "add", "name", n.uplink(), "type", "veth", "peer", "name", "uplink", "netns", n.namespace("switch"))
		if last == nil {
			return n, nil
		}
		if err := ip("netns", "del", n.namespace("switch")); err != nil {
			return nil, errors.Join(last, err)
		}
	}
	return nil, fmt.Errorf("find a free subnet: %w", last)
}

// taken tells whether this machine has an address in the subnet.
func (n *network) taken() bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	subnet := netip.MustParsePrefix(n.subnet())
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(subnet) {
			return true
		}
	}
	return false
}

func (n *network) address(host int) string {
	at := n.index<<(32-subnetBits) + host
	return netip.AddrFrom4([4]byte{198, 18 + byte(at>>16), byte(at >> 8), byte(at)}).String()
}

func (n *network) subnet() string  { return n.address(0) + "/" + strconv.Itoa(subnetBits) }
func (n *network) gateway() string { return n.address(1) }
func (n *network) uplink() string  { return "lf" + strconv.Itoa(n.index) }

func (n *network) namespace(name string) string {
	return namespacePrefix + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(n.index) + "-" + name
}

func (n *network) setUp() ([]Machine, error) {
	hub := n.namespace("switch")
	err := all(
		[]string{"-n", hub, "link", "add", "name", "switch", "type", "bridge", "forward_delay", "0"},
		[]string{"-n", hub, "link", "set", "switch", "up"},
		[]string{"-n", hub, "link", "set", "uplink", "master", "switch", "up"},
		[]string{"addr", "add", n.address(1) + "/" + strconv.Itoa(subnetBits), "dev", n.uplink()},
		[]string{"link", "set", n.uplink(), "up"},
	)
	if err != nil {
		return nil, err
	}
	var list []Machine
	hosts := "127.0.0.1 localhost\n"
	for i, name := range n.names {
		hosts += n.address(firstOf+i) + " " + name + "\n"
	}
	for i, name := range n.names {
		space, address := n.namespace(name), n.address(firstOf+i)
		err := all(
			[]string{"netns", "add", space},
			[]string{"-n", hub, "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", space},
			[]string{"-n", hub, "link", "set", "dev", name, "master", "switch", "up"},
			[]string{"-n", space, "link", "set", "lo", "up"},
			[]string{"-n", space, "addr", "add", address + "/" + strconv.Itoa(subnetBits), "dev", "eth0"},
			[]string{"-n", space, "link", "set", "eth0", "up"},
		)
		if err != nil {
			return nil, err
		}
		if err := writeHosts(space, hosts); err != nil {
			return nil, err
		}
		list = append(list, Machine{
			Name: name, Address: address, Host: name,
			Listen: []string{"0.0.0.0", address, ""}[i%3], // there are three ways to bind
			enter:  []string{"ip", "netns", "exec", space},
		})
	}
	return list, nil
}

func (n *network) cable(name, state string) error {
	return ip("-n", n.namespace("switch"), "link", "set", "dev", name, state)
}

// blackhole has routes lead nowhere, or no longer; either may have been done
// before.
func (n *network) blackhole(what string, pairs [][2]string) error {
	var errs []error
	for _, p := range pairs {
		route := []string{"replace", "blackhole", p[1]}
		if what == "del" {
			route = []string{"flush", "type", "blackhole", "exact", p[1]}
		}
		errs = append(errs, ip(append([]string{"-n", n.namespace(p[0]), "route"}, route...)...))
	}
	return errors.Join(errs...)
}

// remove takes everything away, also what was set up in part.
func (n *network) remove() error {
	var errs []error
	for _, name := range append([]string{"switch"}, n.names...) {
		errs = append(errs, removeNamespace(n.namespace(name)))
	}
	// The switch's end went with its namespace, and ours with it, but not at
	// once; that it is gone already is no error.
	if _, err := net.InterfaceByName(n.uplink()); err == nil {
		if err := ip("link", "del", n.uplink()); err != nil && !strings.Contains(err.Error(), "Cannot find device") {
			errs = append(errs, err)
		}
	}
	_ = os.Remove(namespaceFiles) // if it is empty
	return errors.Join(errs...)
}

// loopbackAddress is one of 127.0.0.0/8, all of which is here.
func loopbackAddress(a, b, c int) string { return fmt.Sprintf("127.%d.%d.%d", a, b, c) }
