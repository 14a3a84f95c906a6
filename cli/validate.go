package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/words"
)

func addValidate(app *fisk.Application, env *env) {
	cmd := app.Command("validate", "Check cluster.yaml, and say what it means")
	cmd.HelpLong(`Prints every problem of the file at once, with line and column, and exits 2; or
says what the file means, and how long Postgres may be away before a stream is
full. Nothing is connected to.

With --connect it then looks at the Postgres of the file, changes nothing there,
and says what is missing and what to do about it: version and settings, the
tables and who makes them, every right that the role needs, poolers, clocks, and
where each column of your own tables comes from.

It exits 1 if the cluster could not work so; notes alone are exit code 0.

Examples:

	app validate
	app validate --connect
	app validate --config staging.yaml --json`)
	config := configFlag(cmd)
	connect := cmd.Flag("connect", "Look at Postgres too").UnNegatableBool()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	env.do(cmd, func(ctx context.Context) error {
		cfg, err := loadCluster(*config)
		if *asJSON {
			return env.validateJSON(ctx, *config, cfg, err, *connect)
		}
		if err != nil {
			return err
		}
		if err := printSummary(env.stdout, cfg); err != nil || !*connect {
			return err
		}
		c, err := connectChecks(ctx, cfg)
		if err != nil {
			return err
		}
		return c.print(env.stdout)
	})
}

// validation is what `app validate --json` prints.
type validation struct {
	File     string         `json:"file"`
	Fine     bool           `json:"fine"`
	Error    string         `json:"error,omitempty"` // the file could not be read
	Problems []problem      `json:"problems,omitempty"`
	Cluster  string         `json:"cluster,omitempty"`
	Nodes    []string       `json:"nodes,omitempty"`
	Postgres string         `json:"postgres,omitempty"`
	Streams  []streamBudget `json:"streams,omitempty"`
	Notes    []string       `json:"notes,omitempty"`
	Checks   []check        `json:"checks,omitempty"`   // with --connect
	Mappings []mappedTable  `json:"mappings,omitempty"` // with --connect: of the users' own tables
}

type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

// validateJSON prints the same as JSON, with the same exit codes.
func (e *env) validateJSON(ctx context.Context, path string, cfg *cluster.Config, err error, connect bool) error {
	v := validation{File: path, Fine: err == nil}
	var found *cluster.Problems
	switch {
	case errors.As(err, &found):
		for _, p := range *found {
			v.Problems = append(v.Problems, problem{p.File, p.Line, p.Column, p.Key, p.Message})
		}
	case err != nil:
		v.Error = err.Error()
	default:
		v.Cluster, v.Postgres = cfg.Name, cfg.Postgres.Place()
		v.Nodes = cfg.NodeNames()
		v.Streams, v.Notes = budgets(cfg), repeatNotes(cfg)
		if connect {
			c, interrupted := connectChecks(ctx, cfg)
			if interrupted != nil {
				return interrupted
			}
			v.Checks, v.Mappings, v.Fine = c.checks, c.mappings, !failed(c.checks)
		}
	}
	if printErr := e.printJSON(v); printErr != nil {
		return printErr
	}
	switch {
	case err != nil:
		return misuse(errReported, "")
	case !v.Fine:
		return errReported
	}
	return nil
}

// printSummary says what a checked configuration means.
func printSummary(w io.Writer, cfg *cluster.Config) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(tw, "%s is fine\n\n", cfg.Path)
	fmt.Fprintf(tw, "cluster\t%s, %s, every message on %s\n", cfg.Name, words.Count(len(cfg.Nodes), "node"), words.Count(cfg.Replicas(), "node"))
	fmt.Fprintf(tw, "files\t%s/NODE, sync %s\n", strings.TrimSuffix(cfg.Data, "/"), cfg.Sync)
	fmt.Fprintf(tw, "elections\t%s\n", elections(cfg))
	fmt.Fprintf(tw, "access\t%s\n", access(cfg))
	fmt.Fprintf(tw, "Postgres\t%s, table %s, migrations %s\n\n", cfg.Postgres.Place(), cfg.MessagesTable, migrating(cfg))

	fmt.Fprintln(tw, "NODE\tNATS CLIENTS\tROUTES\tHTTP\tSTATUS PAGE\tBINDS")
	for _, n := range cfg.Nodes {
		binds := n.Listen
		if binds == "" {
			binds = "as named"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\thttp://%s/\t%s\n", n.Name, n.Client, n.Route, n.HTTP, n.Status(), binds)
	}
	fmt.Fprintln(tw, "\nSTREAM\tSUBJECTS\tLIMIT\tKEPT AFTER STORING\tIDS KNOWN TO JETSTREAM")
	for _, s := range cfg.Streams {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", s.Name, strings.Join(s.Subjects, " "), words.Size(s.MaxBytes),
			words.Duration(s.ReplayWindow), words.Duration(s.DuplicateWindow))
	}
	printTables(tw, cfg)
	fmt.Fprintf(tw, "\nHow long Postgres may be away before a stream refuses messages (bodies of 1 KB, beside what replay_window keeps):\n\nSTREAM")
	for _, rate := range budgetRates() {
		fmt.Fprintf(tw, "\t%s/s", words.Thousands(rate))
	}
	fmt.Fprintln(tw)
	for _, b := range budgets(cfg) {
		fmt.Fprint(tw, b.Stream)
		for _, o := range b.Outages {
			fmt.Fprintf(tw, "\t%s", words.Duration(o.lasts))
		}
		fmt.Fprintln(tw)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, note := range repeatNotes(cfg) {
		fmt.Fprintf(w, "\nnote: %s\n", note)
	}
	return nil
}

func elections(cfg *cluster.Config) string {
	if cfg.ElectionTimeout == 0 {
		return "with the NATS server's own timers"
	}
	return "after about " + words.Duration(cfg.ElectionTimeout) + " without a leader"
}

func access(cfg *cluster.Config) string {
	switch {
	case cfg.Token != "":
		return "with a token"
	case cfg.AllowInsecure:
		return "open to whoever reaches the ports (allow_insecure)"
	default:
		return "open, from this machine only"
	}
}

func migrating(cfg *cluster.Config) string {
	if cfg.Postgres.Migrate {
		return "at start"
	}
	return "by hand (app migrate up)"
}
