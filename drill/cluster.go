package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Options of a cluster of real processes.
type Options struct {
	Binary          string            // the program; see Self and BuildBinary
	Nodes           int               // one or three; 0: three
	DatabaseURL     string            // where the nodes store
	DatabaseURLs    map[string]string // the same for each node, instead
	MaxBytes        string            // as in File
	ElectionTimeout *time.Duration    // as in File
	StreamKeys      string            // as in File
	Streams         []string          // as in File
	Keys            string            // as in File
	Token           string            // as in File; the cluster's own doors know it
	Machines        *Machines         // where the nodes run, the first ones of the list; nil: all here, on loopback
}

// Cluster is one to three node processes, their ports on loopback and their
// directory. Its methods may be called from several goroutines, but two
// calls about one node are the caller's to order.
type Cluster struct {
	opts Options
	dir  string
	lock *os.File // says that the directory has an owner
	// Set by Up, then fixed.
	nodes   []Addresses // where the nodes are reached
	written []Addresses // the same as the file has it

	mu       sync.Mutex
	children map[string]*child // the last process of each node
}

// NewCluster makes the directory, and starts nothing yet. Whoever gets a
// cluster must Close it.
func NewCluster(opts Options) (*Cluster, error) {
	if opts.Nodes == 0 {
		opts.Nodes = 3
	}
	dir, lock, err := ownDirectory()
	if err != nil {
		return nil, fmt.Errorf("make the cluster's directory: %w", err)
	}
	return &Cluster{opts: opts, dir: dir, lock: lock, children: make(map[string]*child)}, nil
}

// Dir is the cluster's directory: cluster.yaml, data, and a log for each node.
func (c *Cluster) Dir() string { return c.dir }

// ConfigPath is the cluster's own cluster.yaml.
func (c *Cluster) ConfigPath() string { return filepath.Join(c.dir, "cluster.yaml") }

// DataPath is the directory that holds a node's files.
func (c *Cluster) DataPath(node string) string { return filepath.Join(c.dir, "data", node) }

// LogPath is where a node's output goes, over all its starts.
func (c *Cluster) LogPath(node string) string { return filepath.Join(c.dir, node+".log") }

// Addresses of all nodes, in order.
func (c *Cluster) Addresses() []Addresses { return c.nodes }

// Configure chooses ports and writes cluster.yaml. Up does it; tests that
// start nodes one by one call it themselves.
func (c *Cluster) Configure() error {
	if err := c.place(); err != nil {
		return err
	}
	text := File{
		Nodes: c.written, Data: filepath.Join(c.dir, "data"), DatabaseURL: c.opts.DatabaseURL, MaxBytes: c.opts.MaxBytes,
		ElectionTimeout: c.opts.ElectionTimeout, StreamKeys: c.opts.StreamKeys,
		Streams: c.opts.Streams, Keys: c.opts.Keys, Token: c.opts.Token,
	}.Render()
	// The URL may hold a password.
	if err := os.WriteFile(c.ConfigPath(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write cluster.yaml: %w", err)
	}
	return nil
}

// Start starts a node's process, for the first time or again.
func (c *Cluster) Start(node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.children[node]; old != nil && old.running() {
		return fmt.Errorf("start %s: it is running, as process %d", node, old.process.Pid)
	}
	log, err := os.OpenFile(c.LogPath(node), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", node, err)
	}
	defer log.Close() // the child has its own
	cmd := c.opts.Machines.command(node, c.opts.Binary, "run", "--node", node, "--config", c.ConfigPath())
	cmd.Dir = c.dir
	cmd.Env = nodeEnv()
	if url, ok := c.opts.DatabaseURLs[node]; ok {
		cmd.Env = append(cmd.Env, "DATABASE_URL="+url)
	}
	cmd.Stdout, cmd.Stderr = log, log
	started, err := startChild(cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", node, err)
	}
	c.children[node] = started
	return nil
}

// nodeEnv is the environment of a node. Only what a program needs to run at
// all is passed on: a DATABASE_URL of the user's must not reach it, and no
// .env file lies in its directory.
func nodeEnv() []string {
	var env []string
	for _, key := range []string{"PATH", "HOME", "TMPDIR", "TZ", "GOCOVERDIR", "GORACE", "GODEBUG", "GOGC", "GOMEMLIMIT"} {
		if value, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+value)
		}
	}
	return env
}

// child returns a node's last process.
func (c *Cluster) child(node string) (*child, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.children[node]; ch != nil {
		return ch, nil
	}
	return nil, fmt.Errorf("node %s was never started", node)
}

// end sends a signal and waits for the end.
func (c *Cluster) end(ctx context.Context, node string, s syscall.Signal) (string, error) {
	ch, err := c.child(node)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	ch.meant = true
	c.mu.Unlock()
	if err := ch.signal(s); err != nil {
		return "", fmt.Errorf("end %s: %w", node, err)
	}
	how, err := ch.wait(ctx)
	if err != nil {
		return "", fmt.Errorf("end %s: %w", node, err)
	}
	return how, nil
}

// Kill is kill -9. It returns when the process is gone, and tells how it ended.
func (c *Cluster) Kill(ctx context.Context, node string) (string, error) {
	return c.end(ctx, node, syscall.SIGKILL)
}

// Term asks a node to stop gracefully, waits until it has, and tells how it ended.
func (c *Cluster) Term(ctx context.Context, node string) (string, error) {
	return c.end(ctx, node, syscall.SIGTERM)
}

// Stop freezes a node; Cont lets it go on.
func (c *Cluster) Stop(node string) error { return c.signal(node, syscall.SIGSTOP) }

// Cont lets a frozen node go on.
func (c *Cluster) Cont(node string) error { return c.signal(node, syscall.SIGCONT) }

func (c *Cluster) signal(node string, s syscall.Signal) error {
	ch, err := c.child(node)
	if err != nil {
		return err
	}
	return ch.signal(s)
}

// PID is the process id of a node's last process, or 0.
func (c *Cluster) PID(node string) int {
	ch, err := c.child(node)
	if err != nil {
		return 0
	}
	return ch.process.Pid
}

// Fallen returns an *EndedError if a node's process has ended that nobody ended.
func (c *Cluster) Fallen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if ch := c.children[n.Name]; ch != nil && !ch.meant && !ch.running() {
			return &EndedError{n.Name, ch.how}
		}
	}
	return nil
}

// Close ends all nodes and removes the directory.
func (c *Cluster) Close() error {
	return errors.Join(c.End(), removeDirectory(c.dir), c.lock.Close())
}

// End kills what runs, waits for it, and leaves the directory. What the nodes
// still had in hand is of no interest to anyone: a graceful stop would only
// take time.
func (c *Cluster) End() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, ch := range c.children {
		ch.meant = true
		errs = append(errs, ch.signal(syscall.SIGKILL))
	}
	for _, ch := range c.children {
		<-ch.ended // SIGKILL is not refused
	}
	return errors.Join(errs...)
}
