package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/choria-io/fisk"

	"landfall/cluster"
)

// healthTimeout is how long a node may take to say how it is. Container
// runtimes wait for a check longer than this.
const healthTimeout = 2 * time.Second

func addHealth(app *fisk.Application, env *env) {
	cmd := app.Command("health", "Ask a node whether it can acknowledge messages")
	cmd.HelpLong(`For health checks of containers: exits 0 if the node is ready, else 1 and prints why not. A Postgres that is away
does not make a node unready: it goes on taking messages.

Examples:

	app health --node n1
	app health --url http://127.0.0.1:8231
	LANDFALL_NODE=n1 app health`)
	var named bool
	node := nodeFlag(cmd, "The node of cluster.yaml to ask").IsSetByUser(&named).String()
	base := cmd.Flag("url", "Where the node's HTTP endpoint is, instead of --node").PlaceHolder("URL").String()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		if *base != "" && !named {
			*node = "" // the command line has the last word
		}
		target, err := healthTarget(*node, *base, *config)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		return env.askHealth(ctx, target)
	})
}

// healthTarget is the URL to ask. Probes answer without a token.
func healthTarget(node, base, config string) (string, error) {
	if (node == "") == (base == "") {
		return "", misuse(errors.New("which node? name it with either --node or --url"), "app health --help shows how to use it")
	}
	if base == "" {
		cfg, err := loadCluster(config)
		if err != nil {
			return "", err
		}
		n, err := findNode(cfg, node)
		if err != nil {
			return "", err
		}
		return "http://" + localHTTP(n) + "/readyz", nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "", misuse(fmt.Errorf("--url %q is not a URL such as http://127.0.0.1:8231", base), "")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/readyz"
	}
	return u.String(), nil
}

// localHTTP is where a node is reached from its own machine: at its address,
// unless it binds another one.
func localHTTP(n cluster.Node) string {
	_, port, err := net.SplitHostPort(n.HTTP)
	if err != nil || n.Listen == "" {
		return n.HTTP
	}
	host := n.Listen
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "::1"
		if ip.To4() != nil {
			host = "127.0.0.1"
		}
	}
	return net.JoinHostPort(host, port)
}

// askHealth asks, and prints the answer.
func (e *env) askHealth(ctx context.Context, target string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return misuse(fmt.Errorf("ask %s: %w", target, err), "")
	}
	// A health check asks the node itself, whatever proxy the environment names.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("not reachable: %w; is the node running?", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", target, err)
	}
	reason := healthReason(body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s: %s", resp.Status, reason)
	}
	if reason == "" {
		reason = "ready"
	}
	_, err = fmt.Fprintln(e.stdout, reason)
	return err
}

// healthReason is what a probe's answer says, on one line: the reason it
// gives, else its status; of an answer that is not ours, the text.
func healthReason(body []byte) string {
	var answer struct{ Status, Reason string }
	if json.Unmarshal(body, &answer) == nil {
		if said := cmp.Or(answer.Reason, answer.Status); said != "" {
			return said
		}
	}
	return strings.Join(strings.Fields(string(body)), " ")
}
