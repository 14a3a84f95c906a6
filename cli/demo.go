package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/choria-io/fisk"

	"landfall/drill"
)

func addDemo(app *fisk.Application, env *env) {
	cmd := app.Command("demo", "Three nodes, a Postgres, traffic, a kill -9, and the proof")
	cmd.HelpLong(demoHelp)
	o := drill.DemoOptions{}
	cmd.Flag("messages", "How many messages to publish").Default("20000").PlaceHolder("20000").IntVar(&o.Messages)
	cmd.Flag("rate", "How many of them each second").Default("2000").PlaceHolder("2000").Float64Var(&o.Rate)
	cmd.Flag("keep", "Leave everything running afterwards, until Ctrl-C").UnNegatableBoolVar(&o.Keep)
	cmd.Flag("database-url", "Use this Postgres instead of a private one; the demo creates and drops a database of its own there").
		PlaceHolder("postgres://...").StringVar(&o.DatabaseURL)
	timed := false
	timeout := cmd.Flag("election-timeout", "As in cluster.yaml; 0 for NATS' own").Hidden().IsSetByUser(&timed).Duration()
	asJSON := cmd.Flag("json", "Print the verdict as JSON, and the story to stderr").UnNegatableBool()
	env.do(cmd, func(ctx context.Context) error {
		if timed {
			o.ElectionTimeout = timeout
		}
		if err := checkDemo(o); err != nil {
			return err
		}
		return env.runDemo(ctx, o, *asJSON)
	})
}

const demoHelp = `Starts a private Postgres and three nodes on free ports in a temporary directory,
publishes through HTTP and the NATS client port, and in the middle kills with
kill -9 the node that leads the stream and stores it. Then it starts the node
again, and checks by SQL that every acknowledged message is there exactly once,
with its own body. The last line is the proof; the exit code is 0 only if it holds.

It ignores DATABASE_URL, .env and cluster.yaml, and leaves nothing behind.

Examples:

	app demo
	app demo --messages 200000 --rate 20000
	app demo --keep
	app demo --database-url postgres://me:secret@127.0.0.1:5432/postgres`

// checkDemo refuses a run without a middle.
func checkDemo(o drill.DemoOptions) error {
	if o.Messages < 2 {
		return misuse(fmt.Errorf("--messages %d: at least 2 are needed to kill a node between them", o.Messages), "")
	}
	if o.Rate <= 0 {
		return misuse(fmt.Errorf("--rate %v: must be more than 0", o.Rate), "")
	}
	if o.ElectionTimeout != nil && *o.ElectionTimeout < 0 {
		return misuse(fmt.Errorf("--election-timeout %s: must not be negative", *o.ElectionTimeout), "")
	}
	return nil
}

// runDemo runs it with this very program as the nodes.
func (e *env) runDemo(ctx context.Context, o drill.DemoOptions, asJSON bool) error {
	self, err := drill.Self()
	if err != nil {
		return err
	}
	o.Binary, o.Out = self, e.stdout
	if asJSON {
		o.Out = e.stderr
	}
	o.Terminal = isTerminal(o.Out)
	verdict, err := drill.Demo(ctx, o)
	if errors.Is(err, drill.ErrDatabaseURL) {
		return misuse(err, "app demo --help shows how to use it")
	}
	if asJSON && verdict.Offered > 0 {
		if err := e.printJSON(verdict); err != nil {
			return err
		}
	}
	return err
}
