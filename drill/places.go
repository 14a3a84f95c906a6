package drill

import (
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
)

// place gives every node its addresses. In the file a node may bear a name
// that only its peers' machines know.
func (c *Cluster) place() error {
	c.nodes, c.written = nil, nil
	m := c.opts.Machines
	if m != nil && m.Isolated() {
		for _, one := range m.List[:c.opts.Nodes] {
			c.nodes = append(c.nodes, one.addresses(one.Address, ownPorts))
			c.written = append(c.written, one.addresses(one.Host, ownPorts))
		}
		return nil
	}
	ports, err := freePorts(3 * c.opts.Nodes)
	if err != nil {
		return err
	}
	for i := range c.opts.Nodes {
		one := Machine{Name: "n" + strconv.Itoa(i+1), Address: "127.0.0.1"}
		if m != nil {
			one = m.List[i]
		}
		c.nodes = append(c.nodes, one.addresses(one.Address, [3]int(ports[3*i:])))
	}
	c.written = c.nodes
	return nil
}

// ClientURLs are the NATS addresses of all nodes.
func (c *Cluster) ClientURLs() []string {
	return c.addresses(nil, func(n Addresses) string { return "nats://" + n.Client })
}

// HTTPHosts are the host:port addresses of all nodes' endpoints.
func (c *Cluster) HTTPHosts() []string {
	return c.addresses(nil, func(n Addresses) string { return n.HTTP })
}

// Dial connects to whichever nodes are alive, and follows them.
func (c *Cluster) Dial(name string) (*nats.Conn, error) {
	return Dial(c.ClientURLs(), name, nats.Token(c.opts.Token))
}

// HTTPDoor is a door over the endpoints of the nodes named, or of all.
func (c *Cluster) HTTPDoor(publishers int, nodes ...string) *HTTPDoor {
	door := NewHTTPDoor(c.addresses(nodes, func(n Addresses) string { return n.HTTP }), publishers)
	door.token = c.opts.Token
	return door
}

// NATSDoor is a door over the client ports of the nodes named, or of all. It
// follows the cluster from there.
func (c *Cluster) NATSDoor(nodes ...string) (*NATSDoor, error) {
	urls := c.addresses(nodes, func(n Addresses) string { return "nats://" + n.Client })
	return NewNATSDoor(urls, nats.Token(c.opts.Token))
}

// addresses picks one of each node named, or of all.
func (c *Cluster) addresses(nodes []string, one func(Addresses) string) []string {
	var list []string
	for _, n := range c.nodes {
		if len(nodes) == 0 || slices.Contains(nodes, n.Name) {
			list = append(list, one(n))
		}
	}
	return list
}
