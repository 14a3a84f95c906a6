package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/status"
)

// statusTimeout is how long a node may take to answer before another is asked.
const statusTimeout = 2 * time.Second

// watchEvery is how often --watch asks: as often as there is something new.
const watchEvery = time.Second

func addStatus(app *fisk.Application, env *env) {
	cmd := app.Command("status", "What the cluster is doing now")
	cmd.HelpLong(`Says whether all that was acknowledged is stored, and if not what is in its way; then the nodes, the streams and
what happened last. It asks any node that answers, and says which: what is not known there is shown as –.

Exits 0 if nothing needs a person, also while Postgres or the sinks catch up; 1 if something does, or no node answers.

Examples:

	app status
	app status --watch
	app status --node n2 --json`)
	asJSON := cmd.Flag("json", "Print JSON, as GET /v1/status gives it").UnNegatableBool()
	watch := cmd.Flag("watch", "Print it again each second, until Ctrl-C").Short('w').UnNegatableBool()
	node := cmd.Flag("node", "Ask this node, and no other").PlaceHolder("NAME").String()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		cfg, err := loadCluster(*config)
		if err != nil {
			return err
		}
		nodes := cfg.Nodes
		if *node != "" {
			one, err := findNode(cfg, *node)
			if err != nil {
				return err
			}
			nodes = []cluster.Node{one}
		}
		s := &statusScreen{w: env.stdout, json: *asJSON, ask: &asker{nodes: nodes, token: cfg.Token}, clear: *watch && isTerminal(env.stdout)}
		s.colour = isTerminal(env.stdout) && os.Getenv("NO_COLOR") == ""
		if *watch {
			return s.watch(ctx)
		}
		return s.once(ctx)
	})
}

// asker asks the nodes, in turn, until one answers.
type asker struct {
	nodes []cluster.Node
	token string
}

// view is what a node answers, and the answer as it came.
func (a *asker) view(ctx context.Context) (*status.View, []byte, error) {
	var errs []string
	for i, n := range a.nodes {
		v, body, err := a.askNode(ctx, n)
		if err == nil {
			// Whoever answered is asked first the next time.
			a.nodes[0], a.nodes[i] = a.nodes[i], a.nodes[0]
			return v, body, nil
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		errs = append(errs, n.Name+": "+err.Error())
	}
	return nil, nil, fmt.Errorf("no node answers; is one running? %s", strings.Join(errs, "; "))
}

// askNode asks one. It may be on this machine and bind another address than the
// others use.
func (a *asker) askNode(ctx context.Context, n cluster.Node) (*status.View, []byte, error) {
	at := cluster.Node{HTTP: n.Status(), Listen: n.Listen}
	addresses := []string{n.Status()}
	if local := localHTTP(at); local != addresses[0] {
		addresses = append(addresses, local)
	}
	var first error
	for _, address := range addresses {
		v, body, err := a.askAddress(ctx, address)
		if err == nil && v.Node == n.Name {
			return v, body, nil
		}
		if err == nil {
			err = fmt.Errorf("node %s answers at %s", v.Node, address)
		}
		if first == nil {
			first = err
		}
	}
	return nil, nil, first
}

func (a *asker) askAddress(ctx context.Context, address string) (*status.View, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/status", nil)
	if err != nil {
		return nil, nil, err
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	// The node itself is asked, whatever proxy the environment names.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct{ Detail string }
		if json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
			problem.Detail = "is it a Landfall node?"
		}
		return nil, nil, fmt.Errorf("%s: %s", resp.Status, problem.Detail)
	}
	v := &status.View{}
	if err := json.Unmarshal(body, v); err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	return v, body, nil
}

// statusScreen prints what was answered.
type statusScreen struct {
	w             io.Writer
	ask           *asker
	json          bool
	clear, colour bool
}

func (s *statusScreen) once(ctx context.Context) error {
	v, body, err := s.ask.view(ctx)
	if err != nil {
		return err
	}
	if err := s.print(v, body); err != nil {
		return err
	}
	if v.Verdict.NeedsPerson {
		return errReported
	}
	return nil
}

// watch prints again and again. Its outcome is that of the last look.
func (s *statusScreen) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		v, body, err := s.ask.view(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.home()
			fmt.Fprintln(s.w, err)
		default:
			if err := s.print(v, body); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		if err == nil && v.Verdict.NeedsPerson || err != nil && !errors.Is(err, context.Canceled) {
			return errReported
		}
		return nil
	}
}

// home begins the screen anew, on a terminal.
func (s *statusScreen) home() {
	if s.clear {
		fmt.Fprint(s.w, "\x1b[H\x1b[2J")
	}
}

func (s *statusScreen) print(v *status.View, body []byte) error {
	if s.json {
		_, err := s.w.Write(body)
		return err
	}
	s.home()
	if err := s.printHeadline(v); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(s.w, 0, 0, 3, ' ', 0)
	for _, table := range status.Tables(v) {
		fmt.Fprintln(tw)
		for _, row := range table {
			fmt.Fprintln(tw, strings.Join(row, "\t"))
		}
	}
	return tw.Flush()
}

// paint colours a text, on a terminal: red, amber or green.
func (s *statusScreen) paint(level status.Level, text string) string {
	colours := map[status.Level]string{status.Green: "32", status.Amber: "33", status.Red: "31"}
	if !s.colour {
		return text
	}
	return "\x1b[1;" + colours[level] + "m" + text + "\x1b[0m"
}

func (s *statusScreen) printHeadline(v *status.View) error {
	fmt.Fprintf(s.w, "%s\n", s.paint(v.Verdict.Level, status.Word(v.Verdict.Level)+": "+v.Verdict.Text))
	for i, p := range v.Verdict.Problems {
		if i > 0 {
			fmt.Fprintf(s.w, "%s\n", s.paint(p.Level, status.Word(p.Level)+": "+p.Text))
		}
		if p.Advice != "" {
			fmt.Fprintf(s.w, "  > %s\n", p.Advice)
		}
	}
	_, err := fmt.Fprintf(s.w, "\n%s, as %s knows it at %s\n", status.Equation(v), v.Node, v.Time.Local().Format(time.TimeOnly))
	return err
}
