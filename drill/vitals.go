package drill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Vitals are what a node's process takes of its machine.
type Vitals struct {
	Age        time.Duration `json:"age_ns"`         // of the process
	Memory     int64         `json:"resident_bytes"` // 0: the machine does not tell
	Files      int           `json:"open_files"`     // 0: the machine does not tell
	Goroutines int           `json:"goroutines"`
}

func (v Vitals) String() string {
	return fmt.Sprintf("%d MiB, %d open files, %d goroutines, after %s", v.Memory>>20, v.Files, v.Goroutines, v.Age.Round(time.Second))
}

// What a node at rest may take beyond what the nodes of the fresh cluster took.
// Leaders move, and a leader takes more than a follower: so what counts is the
// node that took the most. What is let out of hand once for each fault, each
// connection or each leadership is beyond this after a drill of hundreds.
const (
	spareShare      = 4  // a quarter of it,
	spareGoroutines = 40 // and these
	spareFiles      = 40

	// mostMemory is what a node may hold at rest, whatever it has been
	// through. Most of it is the heap's room for the last peak, which Go keeps
	// for a while.
	mostMemory = 1 << 30

	// Nodes are at rest when what they take has not fallen for so long.
	restStill = 5 * time.Second
	restLook  = 250 * time.Millisecond
)

// Rest waits until the nodes, which nobody uses any more, take no less than a
// moment ago, and returns the least that each took. That is what can be
// compared between two moments of a cluster: connections and caches that go
// by themselves have gone.
func (c *Cluster) Rest(ctx context.Context) (map[string]Vitals, error) {
	least := make(map[string]Vitals)
	still := time.Now()
	err := poll(ctx, restLook, func(ctx context.Context) (bool, error) {
		for _, n := range c.nodes {
			now, err := c.Vitals(ctx, n.Name)
			if err != nil {
				return false, err
			}
			before, known := least[n.Name]
			if !known || now.Age < before.Age { // or it is another process now
				least[n.Name], still = now, time.Now()
				continue
			}
			if now.Goroutines < before.Goroutines || now.Files < before.Files {
				still = time.Now()
			}
			least[n.Name] = Vitals{now.Age, min(now.Memory, before.Memory), min(now.Files, before.Files), min(now.Goroutines, before.Goroutines)}
		}
		return time.Since(still) > restStill, nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait until the nodes are at rest: %w", err)
	}
	return least, nil
}

// Vitals measures a node.
func (c *Cluster) Vitals(ctx context.Context, node string) (v Vitals, err error) {
	if v, err = vitalsOf(c.PID(node)); err != nil {
		return v, fmt.Errorf("vitals of %s: %w", node, err)
	}
	if v.Goroutines, err = c.goroutines(ctx, node); err != nil {
		return v, fmt.Errorf("vitals of %s: %w", node, err)
	}
	return v, nil
}

var errNoGoroutines = errors.New("/metrics has no go_goroutines")

// goroutines asks the node itself.
func (c *Cluster) goroutines(ctx context.Context, node string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	host := c.addresses([]string{node}, func(n Addresses) string { return n.HTTP })[0]
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	if c.opts.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	// A connection of its own: a kept one would be a part of what is measured.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("/metrics: status %d", resp.StatusCode)
	}
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if value, found := strings.CutPrefix(s.Text(), "go_goroutines "); found {
			n, err := strconv.ParseFloat(value, 64)
			return int(n), err
		}
	}
	return 0, errNoGoroutines
}

// Growth holds a cluster at rest against itself when it was fresh, and returns
// what has grown beyond what is allowed. A process that was started again in
// between has had less time to grow: its age is said.
func Growth(fresh, now map[string]Vitals) (findings []string) {
	var most Vitals
	for _, v := range fresh {
		most.Goroutines, most.Files = max(most.Goroutines, v.Goroutines), max(most.Files, v.Files)
	}
	names := make([]string, 0, len(now))
	for name := range now {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v := now[name]
		for _, one := range []struct {
			what        string
			took, limit int
		}{
			{"goroutines", v.Goroutines, most.Goroutines + most.Goroutines/spareShare + spareGoroutines},
			{"open files", v.Files, most.Files + most.Files/spareShare + spareFiles},
			{"MiB of memory", int(v.Memory >> 20), mostMemory >> 20},
		} {
			if one.took > one.limit {
				findings = append(findings, fmt.Sprintf("%s has grown to %d %s, at most %d are allowed; the fresh nodes took up to %d goroutines and %d files (%s)",
					name, one.took, one.what, one.limit, most.Goroutines, most.Files, v))
			}
		}
	}
	return findings
}
