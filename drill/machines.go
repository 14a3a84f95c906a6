package drill

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
)

// Machine is what stands for one machine: an address of its own, and, where
// that can be had, a network of its own.
type Machine struct {
	Name    string // what the others call it
	Address string // where it is reached
	Host    string // what cluster.yaml calls it: the name, or the address
	Listen  string // what its node binds; "": the host
	enter   []string
}

// ownPorts are a node's client, route and HTTP ports where nobody else is.
var ownPorts = [...]int{4222, 6222, 8222}

// addresses are the node's, under one of the machine's names.
func (m Machine) addresses(host string, ports [3]int) Addresses {
	at := func(port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	return Addresses{Name: m.Name, Client: at(ports[0]), Route: at(ports[1]), HTTP: at(ports[2]), Listen: m.Listen}
}

// Machines are a few machines on one network, without the machines. Where root
// is at hand they are network namespaces joined by a switch, and cables can be
// pulled; elsewhere they are addresses of the loopback network.
type Machines struct {
	List    []Machine
	Gateway string   // where they find what runs on none of them, such as Postgres; publishers come from there
	Where   string   // in words
	network *network // nil: addresses alone
}

// NewMachines sets up machines of those names. Whoever gets them must Close
// them, after everything on them has ended.
func NewMachines(names ...string) (*Machines, error) {
	why := whyNoNetwork()
	if why != "" {
		return addressesAlone(names, why), nil
	}
	network, list, err := newNetwork(names)
	if err != nil {
		return nil, fmt.Errorf("set up %d machines: %w", len(names), err)
	}
	return &Machines{
		List: list, Gateway: network.gateway(), network: network,
		Where: fmt.Sprintf("network namespaces on %s", network.subnet()),
	}, nil
}

// addressesAlone makes machines of loopback addresses that nobody else is
// likely to use.
func addressesAlone(names []string, why string) *Machines {
	m := &Machines{Gateway: "127.0.0.1", Where: "loopback addresses: " + why}
	a, b := 1+rand.IntN(254), 1+rand.IntN(254)
	for i, name := range names {
		address := loopbackAddress(a, b, i+1)
		m.List = append(m.List, Machine{Name: name, Address: address, Host: address, Listen: address})
	}
	return m
}

// Isolated tells whether cables can be pulled.
func (m *Machines) Isolated() bool { return m.network != nil }

// Close removes what NewMachines set up.
func (m *Machines) Close() error {
	if m.network == nil {
		return nil
	}
	return m.network.remove()
}

// machine finds one by name; the names are the caller's own.
func (m *Machines) machine(name string) (Machine, bool) {
	for _, one := range m.List {
		if one.Name == name {
			return one, true
		}
	}
	return Machine{}, false
}

// command prepares a program that runs on a machine. The process that starts
// it becomes the program, so signals reach it. Without machines, or on none of
// them, it runs here.
func (m *Machines) command(name, program string, args ...string) *exec.Cmd {
	var line []string
	if m != nil {
		if one, ok := m.machine(name); ok {
			line = append(line, one.enter...)
		}
	}
	line = append(append(line, program), args...)
	return exec.Command(line[0], line[1:]...)
}

// Unplug pulls a machine's cable: nobody reaches it, and it reaches nobody.
func (m *Machines) Unplug(name string) error { return m.network.cable(name, "down") }

// Plug puts it back.
func (m *Machines) Plug(name string) error { return m.network.cable(name, "up") }

// Part keeps a machine and others from reaching each other, in both
// directions. The gateway goes on reaching all of them.
func (m *Machines) Part(name string, others ...string) error {
	return m.network.blackhole("add", m.pairs(name, others))
}

// Join undoes Part.
func (m *Machines) Join(name string, others ...string) error {
	return m.network.blackhole("del", m.pairs(name, others))
}

// pairs lists who must not reach which address.
func (m *Machines) pairs(name string, others []string) [][2]string {
	var pairs [][2]string
	for _, other := range others {
		a, _ := m.machine(name)
		b, _ := m.machine(other)
		pairs = append(pairs, [2]string{name, b.Address}, [2]string{other, a.Address})
	}
	return pairs
}
