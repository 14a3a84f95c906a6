package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Without the token, or with a wrong one, nothing is published, read or
// joined: not at the client ports, not over HTTP, not by way of the routes.
func TestMachinesToken(t *testing.T) {
	t.Parallel()
	r := upMachines(t)
	ctx := within(t, time.Minute)
	ledger := newLedger(t)
	r.must(r.publishTo(ctx, ledger, 50, r.nodeNames()))

	knocking := time.Now()
	var strangers []*stranger
	for name, token := range map[string]string{"no token": "", "a wrong token": "wrong-token"} {
		for _, n := range r.Addresses() {
			r.refusesClient(name, n, token)
			r.refusesHTTP(name, n, token)
		}
		strangers = append(strangers, r.startStranger(name, token, true))
	}
	app := r.startStrangeNode()
	for _, s := range strangers {
		r.must(s.awaitRefusals(ctx, 3))
	}
	r.must(app.awaitRefusals(ctx))
	// There is something to read, and somebody who would.
	r.must(r.publishTo(ctx, ledger, 100, r.nodeNames()))
	for _, s := range strangers {
		r.staysOut(s)
	}
	r.staysOutside(app)
	r.knowsNobodyElse(ctx)
	r.logsStayShort(knocking)

	// What was refused above was refused for its token: with the right one a
	// server joins.
	friend := r.startStranger("the token", testToken, false)
	r.must(poll(ctx, 50*time.Millisecond, func(context.Context) (bool, error) { return friend.NumRoutes() > 0, nil }))
	r.proves(ledger)
}

// refusesClient tries a node's client port.
func (r *machinesRig) refusesClient(name string, n Addresses, token string) {
	r.t.Helper()
	for _, user := range []nats.Option{nats.Token(token), nats.UserInfo(routeUser, token)} {
		nc, err := nats.Connect("nats://"+n.Client, user, nats.Timeout(5*time.Second), nats.IgnoreDiscoveredServers())
		if err == nil {
			nc.Close()
		}
		if !errors.Is(err, nats.ErrAuthorization) {
			r.t.Errorf("%s: a client with %s: %v", n.Name, name, err)
		}
	}
}

// routeUser is the name that nodes use among themselves.
const routeUser = "landfall"

// refusesHTTP tries everything that a node serves over HTTP.
func (r *machinesRig) refusesHTTP(name string, n Addresses, token string) {
	r.t.Helper()
	m := Message{ID: "without-the-token", Body: []byte("nobody let me in")}
	for path, want := range map[string]int{
		"POST /v1/publish/messages.x":       http.StatusUnauthorized,
		"POST /v1/publish/nothing":          http.StatusUnauthorized,
		"GET /v1/receipts/" + Stream + "/1": http.StatusUnauthorized,
		"GET /v1/openapi.json":              http.StatusUnauthorized,
		"GET /metrics":                      http.StatusUnauthorized,
		"GET /":                             http.StatusUnauthorized,
		"GET /healthz":                      http.StatusOK,
		"GET /readyz":                       http.StatusOK,
	} {
		method, path, _ := strings.Cut(path, " ")
		sent := Message{}
		if method == http.MethodPost {
			sent = m
		}
		if got := r.status(method, n.Name, path, token, sent); got != want {
			r.t.Errorf("%s: %s %s with %s: status %d, want %d", n.Name, method, path, name, got, want)
		}
	}
}

// stranger is a nats-server of the cluster's own name that knows where the
// nodes' routes are.
type stranger struct {
	*server.Server
	name    string
	refused atomic.Int64 // how often it was told no
	read    *nats.Subscription
	nc      *nats.Conn
}

// startStranger starts one, and subscribes to everything on it.
func (r *machinesRig) startStranger(name, token string, jetStream bool) *stranger {
	r.t.Helper()
	ports, err := freePorts(1)
	r.must(err)
	o := &server.Options{
		ServerName: "stranger-with-" + strings.ReplaceAll(name, " ", "-"), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true,
		JetStream: jetStream, StoreDir: r.t.TempDir(),
		Cluster: server.ClusterOpts{Name: "drill", Host: r.machines.Gateway, Port: ports[0], Username: routeUser, Password: token},
	}
	for _, n := range r.Addresses() {
		u := &url.URL{Scheme: "nats-route", Host: n.Route}
		if token != "" {
			u.User = url.UserPassword(routeUser, token)
		}
		o.Routes = append(o.Routes, u)
	}
	s := &stranger{name: name}
	s.Server, err = server.NewServer(o)
	r.must(err)
	s.SetLoggerV2(strangerLog{&s.refused}, false, false, false)
	s.Start()
	r.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		r.t.Fatal("the stranger does not listen")
	}
	s.nc, err = nats.Connect(s.ClientURL(), nats.IgnoreDiscoveredServers())
	r.must(err)
	r.t.Cleanup(s.nc.Close)
	s.read, err = s.nc.SubscribeSync("messages.>")
	r.must(err)
	return s
}

// strangerLog counts what the nodes say to a stranger.
type strangerLog struct{ refused *atomic.Int64 }

func (l strangerLog) Errorf(format string, v ...any) {
	if strings.Contains(fmt.Sprintf(format, v...), "Authorization Violation") {
		l.refused.Add(1)
	}
}
func (strangerLog) Noticef(string, ...any) {}
func (strangerLog) Warnf(string, ...any)   {}
func (strangerLog) Fatalf(string, ...any)  {}
func (strangerLog) Debugf(string, ...any)  {}
func (strangerLog) Tracef(string, ...any)  {}

// awaitRefusals waits until each node has refused it that often, about.
func (s *stranger) awaitRefusals(ctx context.Context, each int64) error {
	err := poll(ctx, 50*time.Millisecond, func(context.Context) (bool, error) { return s.refused.Load() >= 3*each, nil })
	if err != nil {
		return fmt.Errorf("a server with %s was refused %d times: %w", s.name, s.refused.Load(), err)
	}
	return nil
}

// staysOut checks that a stranger has no routes, reads nothing, and publishes
// to nobody.
func (r *machinesRig) staysOut(s *stranger) {
	r.t.Helper()
	// From its own point of view it has a route until the answer is no.
	ctx := within(r.t, 20*time.Second)
	if err := poll(ctx, time.Millisecond, func(context.Context) (bool, error) { return s.NumRoutes() == 0, nil }); err != nil {
		r.t.Errorf("a server with %s has %d routes: %v", s.name, s.NumRoutes(), err)
	}
	r.must(s.nc.Flush())
	if n, _, err := s.read.Pending(); n != 0 || err != nil {
		r.t.Errorf("a server with %s has read %d messages, %v", s.name, n, err)
	}
	js, err := jetstream.New(s.nc)
	r.must(err)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if ack, err := js.Publish(ctx, "messages.stranger", []byte("nobody let me in"), jetstream.WithRetryAttempts(0)); err == nil {
		r.t.Errorf("what was published to a server with %s was acknowledged: %+v", s.name, ack)
	}
	if _, err := js.Stream(ctx, Stream); err == nil {
		r.t.Errorf("a server with %s knows the stream", s.name)
	}
}

// strangeNode is an `app` with a cluster.yaml that has two of the nodes, and
// the wrong token.
type strangeNode struct {
	*child
	Addresses
	log string
}

func (r *machinesRig) startStrangeNode() *strangeNode {
	r.t.Helper()
	machine, _ := r.machines.machine("stranger")
	ports := ownPorts
	if !r.machines.Isolated() {
		free, err := freePorts(3)
		r.must(err)
		ports = [3]int(free)
	}
	n := &strangeNode{Addresses: machine.addresses(machine.Address, ports), log: filepath.Join(r.t.TempDir(), "log")}
	dir := r.t.TempDir()
	path := filepath.Join(dir, "cluster.yaml")
	text := File{
		Nodes: append(r.written[:2:2], machine.addresses(machine.Host, ports)), Data: dir, Token: "wrong-token",
		DatabaseURL: "postgres://nobody@127.0.0.1:1/none",
	}.Render()
	r.must(os.WriteFile(path, []byte(text), 0o600))
	log, err := os.Create(n.log)
	r.must(err)
	defer log.Close()
	cmd := r.machines.command("stranger", r.opts.Binary, "run", "--node", "stranger", "--config", path)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, nodeEnv(), log, log
	n.child, err = startChild(cmd)
	r.must(err)
	r.t.Cleanup(func() {
		if err := n.signal(os.Kill); err != nil {
			r.t.Error(err)
		}
		<-n.ended
	})
	return n
}

// awaitRefusals waits until the node says itself what is wrong.
func (n *strangeNode) awaitRefusals(ctx context.Context) error {
	var text []byte
	err := poll(ctx, 50*time.Millisecond, func(context.Context) (bool, error) {
		var err error
		text, err = os.ReadFile(n.log)
		return strings.Contains(string(text), "Authorization Violation") || !n.running(), err
	})
	if err != nil || !n.running() {
		return fmt.Errorf("a node with a wrong token, %s: %w\n%s", n.how, err, text)
	}
	return nil
}

// staysOutside checks that the strange node never gets ready, and takes nothing.
func (r *machinesRig) staysOutside(n *strangeNode) {
	r.t.Helper()
	if !n.running() {
		r.t.Errorf("the node with a wrong token has ended: %s", n.how)
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if got := r.statusAt(http.MethodGet, n.HTTP, path, "", Message{}); got != want {
			r.t.Errorf("the node with a wrong token: %s: status %d, want %d", path, got, want)
		}
	}
	m := Message{ID: "from-outside", Body: []byte("nobody let me in")}
	if got := r.statusAt(http.MethodPost, n.HTTP, "/v1/publish/messages.stranger", "wrong-token", m); got != http.StatusServiceUnavailable {
		r.t.Errorf("the node with a wrong token answers a publish with %d", got)
	}
	door, err := NewNATSDoor([]string{"nats://" + n.Client}, nats.Token("wrong-token"))
	r.must(err) // its own token it takes
	defer door.Close()
	m.Subject = "messages.stranger"
	if receipt, err := door.Try(r.t.Context(), 0, m); err == nil {
		r.t.Errorf("the node with a wrong token acknowledged %+v", receipt)
	}
}

// knowsNobodyElse checks how the cluster sees itself: it tells clients of its
// own nodes alone, and has no room for a fourth replica.
func (r *machinesRig) knowsNobodyElse(ctx context.Context) {
	r.t.Helper()
	nc := r.dial()
	for _, found := range nc.DiscoveredServers() {
		ours := false
		for _, n := range r.written {
			ours = ours || found == "nats://"+n.Client
		}
		if !ours {
			r.t.Errorf("the cluster tells its clients of %s", found)
		}
	}
	js, err := jetstream.New(nc)
	r.must(err)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "FOUR", Subjects: []string{"four"}, Replicas: 4})
	if api := (*jetstream.APIError)(nil); !errors.As(err, &api) || api.ErrorCode != errNoPeers {
		r.t.Errorf("a stream on four nodes: %v", err)
	}
}

// errNoPeers is JetStream's "no suitable peers for placement".
const errNoPeers jetstream.ErrorCode = 10005

// logsStayShort checks that those who knock without the token are noted in
// the nodes' logs, and cannot fill them: every ten seconds there is a line for
// clients, one for servers, and one for nodes of other machines, however often
// they knock.
func (r *machinesRig) logsStayShort(since time.Time) {
	r.t.Helper()
	const noted = "authentication error"
	limit := 3 * (1 + int(time.Since(since)/(10*time.Second)))
	for _, n := range r.Addresses() {
		text, err := os.ReadFile(r.LogPath(n.Name))
		r.must(err)
		if lines := strings.Count(string(text), noted); lines == 0 || lines > limit {
			r.t.Errorf("%s has logged %d times %q; %d would do", n.Name, lines, noted, limit)
		}
	}
}
