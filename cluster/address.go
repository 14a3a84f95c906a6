package cluster

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// address is one host:port of the file, as others use it and as it is bound.
type address struct {
	field
	node int    // index into the nodes
	host string // as in the file
	bind string // the host to bind
	port uint16
}

// nodes reads the peers. Without a guard (a token, or leave to go without)
// they may bind loopback only.
func (f field) nodes(guarded bool) []Node {
	m, ok := f.mapping()
	if !ok {
		return nil
	}
	if n := len(m.keys); n == 0 || n%2 == 0 {
		f.doc.problem(f.keyPosition(), f.key, "%d nodes: it takes one, or an odd number from three, since a majority decides", n)
	}
	var nodes []Node
	var all []address
	lower := map[string]string{}
	for i, name := range m.names {
		if !plainName.MatchString(name) {
			f.doc.problem(m.keys[name], m.values[name].key, "a node's name %s", plainNameRule)
		} else if twin, ok := lower[strings.ToLower(name)]; ok {
			f.doc.problem(m.keys[name], m.values[name].key, "differs from %s only in case, but each names a directory", twin)
		}
		lower[strings.ToLower(name)] = name
		node, addresses := m.values[name].decodeNode(name, i, guarded)
		nodes = append(nodes, node)
		all = append(all, addresses...)
	}
	checkClashes(all)
	return nodes
}

// keyPosition is where the field's own key stands, if that is on this line or
// above it, for problems with a whole section.
func (f field) keyPosition() position {
	for line := f.at.line; line > 0; line-- {
		if m := topKey.FindStringSubmatch(f.doc.lines[line-1]); m != nil && m[1] == f.key {
			return position{line, 1}
		}
	}
	return f.at
}

func (f field) decodeNode(name string, index int, guarded bool) (Node, []address) {
	n := Node{Name: name}
	m, ok := f.mapping(nodeKeys()...)
	if !ok {
		return n, nil
	}
	listen, listens := m.values["listen"]
	if listens {
		n.Listen = listen.listenHost()
	}
	var list []address
	take := func(f field) string {
		text, a, ok := f.address()
		if !ok {
			return text
		}
		a.node, a.bind = index, a.host
		if n.Listen != "" {
			a.bind = n.Listen
		}
		list = append(list, a)
		return text
	}
	read := func(key, example string) string {
		if f, ok := m.required(key, key+": "+example); ok {
			return take(f)
		}
		return ""
	}
	n.Client = read("client", "127.0.0.1:4231")
	n.Route = read("route", "127.0.0.1:6231")
	n.HTTP = read("http", "127.0.0.1:8231")
	if f, ok := m.values["admin"]; ok {
		n.Admin = take(f)
	}
	if !guarded {
		checkLoopback(listen, n.Listen, list)
	}
	return n, list
}

// checkLoopback notes, once for a node, that it would let the network in.
func checkLoopback(listen field, host string, list []address) {
	const refusal = "would let anybody on the network publish and read: set auth.token, or allow_insecure: true if that is meant"
	if host != "" {
		if !isLoopback(host) {
			listen.problem("%s", refusal)
		}
		return
	}
	for _, a := range list {
		if !isLoopback(a.bind) {
			a.problem("%s", refusal)
			return
		}
	}
}

// address reads a host:port that others can use.
func (f field) address() (string, address, bool) {
	t, ok := f.text()
	if !ok {
		return "", address{}, false
	}
	host, port, err := net.SplitHostPort(t.value)
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		f.problem("%s must be HOST:PORT, an IPv6 host in brackets", t.shown)
	case host == "":
		f.problem("%s needs a host, the one that the other nodes and clients use", t.shown)
	case !isHost(host):
		f.problem("%s: the host must be an IP address or a host name", t.shown)
	case isUnspecified(host):
		f.problem("%s is not an address that others can use: name it by a real host, and bind all interfaces with listen: %s", t.shown, host)
	case portErr != nil || n == 0:
		f.problem("%s: the port must be a number from 1 to 65535", t.shown)
	default:
		return t.value, address{field: f, host: host, port: uint16(n)}, true
	}
	return "", address{}, false
}

// listenHost reads the host to bind.
func (f field) listenHost() string {
	t, ok := f.text()
	if !ok {
		return ""
	}
	if !isHost(t.value) {
		f.problem("%s must be a host to bind, without a port, such as 0.0.0.0 or ::", t.shown)
		return ""
	}
	return t.value
}

// checkClashes notes every address that another one before it takes already,
// as others see it or as it is bound. Two nodes that bind all interfaces may
// share a port if they are on machines of their own, so that only counts for
// nodes that are on one machine for certain.
func checkClashes(all []address) {
	for i, b := range all {
		for _, a := range all[:i] {
			if a.port != b.port {
				continue
			}
			if sameHost(a.host, b.host) {
				b.problem("is the same address as %s on line %d", a.key, a.at.line)
				break
			}
			here := a.node == b.node || (isLoopback(a.host) && isLoopback(b.host))
			if here && bindsOverlap(a.bind, b.bind) {
				b.problem("would bind port %d of %s, which %s on line %d binds already", b.port, shownHost(b), a.key, a.at.line)
				break
			}
		}
	}
}

// shownHost names a bind host without telling what a variable held.
func shownHost(a address) string {
	if isUnspecified(a.bind) {
		return "all interfaces"
	}
	return "the same host"
}

func bindsOverlap(a, b string) bool {
	return sameHost(a, b) || isUnspecified(a) || isUnspecified(b)
}

// sameHost compares hosts without asking DNS; localhost is 127.0.0.1.
func sameHost(a, b string) bool { return plainHost(a) == plainHost(b) }

func plainHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" {
		return "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return host
}

// isLoopback trusts addresses and the name localhost alone: what another name
// resolves to may change.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(plainHost(host))
	return err == nil && ip.IsLoopback()
}

func isUnspecified(host string) bool {
	ip, err := netip.ParseAddr(plainHost(host))
	return err == nil && ip.IsUnspecified()
}

var (
	hostName  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)
	allDigits = regexp.MustCompile(`^[0-9.]+$`)
)

// isHost accepts IP addresses without a zone, and host names. Digits and dots
// alone are a slip in an IP address.
func isHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	return len(host) <= 253 && hostName.MatchString(host) && !allDigits.MatchString(host)
}
