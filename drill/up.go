package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// portTries is how often Up chooses other ports when somebody took one.
const portTries = 5

// Up starts all nodes and waits until each answers that it can acknowledge.
func (c *Cluster) Up(ctx context.Context) error {
	for try := 1; ; try++ {
		if err := c.Configure(); err != nil {
			return err
		}
		for _, n := range c.nodes {
			if err := c.Start(n.Name); err != nil {
				return err
			}
		}
		err := c.AwaitReady(ctx)
		var gone *EndedError
		if !errors.As(err, &gone) || try == portTries {
			return err
		}
		if err := c.End(); err != nil {
			return err
		}
		if !c.anyPortTaken() {
			return err
		}
		for _, n := range c.nodes {
			if err := emptyDirectory(c.DataPath(n.Name)); err != nil { // it may be a disk
				return fmt.Errorf("start over on other ports: %w", err)
			}
		}
	}
}

// anyPortTaken tells whether somebody else listens on one of our ports, now
// that no node of ours runs.
func (c *Cluster) anyPortTaken() bool {
	for _, n := range c.nodes {
		if portTaken(n.Client) || portTaken(n.Route) || portTaken(n.HTTP) {
			return true
		}
	}
	return false
}

// EndedError says that a node's process ended by itself.
type EndedError struct {
	Node string
	How  string
}

func (e *EndedError) Error() string { return fmt.Sprintf("node %s ended by itself: %s", e.Node, e.How) }

// AwaitReady waits until the nodes named, or all, answer /readyz with 200. It
// fails as soon as one of their processes ends.
func (c *Cluster) AwaitReady(ctx context.Context, nodes ...string) error {
	if len(nodes) == 0 {
		for _, n := range c.nodes {
			nodes = append(nodes, n.Name)
		}
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	err := poll(ctx, 50*time.Millisecond, func(ctx context.Context) (bool, error) {
		last = nil
		for _, name := range nodes {
			ch, err := c.child(name)
			if err != nil {
				return false, err
			}
			if !ch.running() {
				return false, &EndedError{name, ch.how}
			}
			if last = c.ready(ctx, client, name); last != nil {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("wait for nodes to be ready: %w", errors.Join(err, last))
	}
	return nil
}

// ready asks one node once.
func (c *Cluster) ready(ctx context.Context, client *http.Client, node string) error {
	for _, n := range c.nodes {
		if n.Name != node {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.HTTP+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: not ready: status %d", node, resp.StatusCode)
		}
		return nil
	}
	return fmt.Errorf("no node %s", node)
}

// Trouble is what the nodes' logs say last about themselves: for a report of
// a failure, since the logs go with the directory.
func (c *Cluster) Trouble(lines int) string {
	var b strings.Builder
	for _, n := range c.nodes {
		last, err := lastTrouble(c.LogPath(n.Name), lines)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", n.Name, err)
		}
		for _, line := range last {
			fmt.Fprintf(&b, "%s: %s\n", n.Name, line)
		}
	}
	return b.String()
}

// PortsFree tells whether nobody listens on any of the cluster's ports.
func (c *Cluster) PortsFree() bool {
	for _, n := range c.nodes {
		for _, address := range []string{n.Client, n.Route, n.HTTP} {
			if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
				conn.Close()
				return false
			}
		}
	}
	return true
}
