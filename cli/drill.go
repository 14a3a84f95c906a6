package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/choria-io/fisk"

	"landfall/drill"
)

func addDrill(app *fisk.Application, env *env) {
	cmd := app.Command("drill", "Faults on a cluster of its own under load, and a verdict")
	cmd.HelpLong(drillHelp)
	o := drill.SoakOptions{}
	cmd.Flag("duration", "How long faults happen; the round that is under way then is finished").Default("10m").PlaceHolder("10m").DurationVar(&o.Duration)
	seeded := false
	seed := cmd.Flag("seed", "Repeat the faults of a run that printed this seed").PlaceHolder("SEED").IsSetByUser(&seeded).Uint64()
	words := cmd.Flag("faults", "Only these: groups ("+strings.Join(drill.FaultGroups(), ", ")+") or names, with commas between them").
		PlaceHolder("kill,net,...").String()
	cmd.Flag("rate", "How many messages are offered each second").Default("1000").PlaceHolder("1000").Float64Var(&o.Rate)
	cmd.Flag("keep", "Leave the directory with the ledger and the nodes' logs, whatever is found").UnNegatableBoolVar(&o.Keep)
	list := cmd.Flag("list", "List the faults, and run nothing").UnNegatableBool()
	asJSON := cmd.Flag("json", "Print the report (or the list) as JSON, and the story to stderr").UnNegatableBool()
	env.do(cmd, func(ctx context.Context) error {
		if *words != "" {
			o.Faults = strings.FieldsFunc(*words, func(r rune) bool { return r == ',' || r == ' ' })
		}
		chosen, err := drill.ChooseFaults(o.Faults)
		if err != nil {
			return misuse(err, "")
		}
		if *list {
			return env.printFaults(chosen, *asJSON)
		}
		if o.Duration <= 0 {
			return misuse(fmt.Errorf("--duration %s: must be more than 0", o.Duration), "")
		}
		if !(o.Rate > 0 && o.Rate <= maxDrillRate) { // NaN is neither
			return misuse(fmt.Errorf("--rate %v: must be more than 0, and at most %d", o.Rate, maxDrillRate), "")
		}
		if o.Seed = *seed; !seeded {
			o.Seed = uint64(rand.Uint32())
		}
		return env.runDrill(ctx, o, *asJSON)
	})
}

// maxDrillRate is more than the publishers of a drill can offer.
const maxDrillRate = 1_000_000

const drillHelp = `Starts a private Postgres and three nodes in a temporary directory, publishes to them all the time, and lets one round
of faults after another happen: processes are killed, frozen and restarted, cables pulled, disks filled, stalled and cut
off from power, Postgres killed, locked, restored from a copy, cut off in the middle of a COMMIT, streams deleted by hand.
After each round it waits until all has recovered, and measures. In the end it holds what was promised (a ledger of
every message) against the streams and the tables: messages, and one of its own that a second stream fills by upsert. The last line is the proof. The exit code is 0 only if nothing is lost,
twice or unexplained, nothing good is refused, all recovers within a minute after each round, the nodes' replicas agree, and
no node leaks, panics or fails to stop.

As root on Linux, with ip (iproute2) and mkfs.ext4, each node has a network namespace and a disk of its own. Without,
the faults that need them are left out, and the report says so.

A seed repeats the faults of a run with the same --faults, where the same ones can be had; their effects depend on the
moment. In a run that comes to each of its faults three times, Postgres is away for three minutes once.

It ignores DATABASE_URL, .env and cluster.yaml. Ctrl-C ends it and cleans up. What is found leaves the directory behind.

Examples:

	app drill --duration 2m
	app drill --seed 4711 --faults kill,stop
	app drill --faults commit-unanswered,pg-restore --rate 3000
	app drill --list`

// printFaults lists faults for people, or as JSON.
func (e *env) printFaults(faults []drill.Fault, asJSON bool) error {
	type fault struct {
		Name     string        `json:"name"`
		Group    string        `json:"group"`
		About    string        `json:"about"`
		Shortest time.Duration `json:"shortest_ns"`
		Longest  time.Duration `json:"longest_ns"`
	}
	if asJSON {
		list := make([]fault, 0, len(faults))
		for _, f := range faults {
			list = append(list, fault{f.Name, f.Group, f.About, f.Hold[0], f.Hold[1]})
		}
		return e.printJSON(list)
	}
	t := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, f := range faults {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Group, f.Name, f.About)
	}
	return t.Flush()
}

// runDrill runs it with this very program as the nodes.
func (e *env) runDrill(ctx context.Context, o drill.SoakOptions, asJSON bool) error {
	self, err := drill.Self()
	if err != nil {
		return err
	}
	o.Binary, o.Version, o.Out = self, readVersions().App, e.stdout
	if asJSON {
		o.Out = e.stderr
	}
	o.Terminal = isTerminal(o.Out)
	report, err := drill.Soak(ctx, o)
	if report.Verdict.Offered == 0 {
		return err // it did not come to a verdict
	}
	if asJSON {
		return errors.Join(err, e.printJSON(report))
	}
	report.Print(e.stdout)
	return err
}
