package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// caught is what a drill of a scenario came to.
type caught struct {
	verdict Verdict
	changes ChangesVerdict
	found   []string // by faults, or by the time that recovering took
	faults  int      // that happened
	err     error    // the drill's own failure: it says nothing about the program
}

// green tells whether every promise was kept.
func (c caught) green() bool {
	return c.err == nil && c.verdict.Holds() && c.changes.Holds() && len(c.found) == 0
}

// red tells whether the checker saw a promise broken. That something did not
// recover in time is not enough: on a busy machine it may only have been slow.
func (c caught) red() bool { return c.err == nil && !(c.verdict.Holds() && c.changes.Holds()) }

// longestFinding is how much of a finding is quoted: some quote rows.
const longestFinding = 160

// inWords is what was found, in one line.
func (c caught) inWords() string {
	if c.err != nil {
		return "the drill failed: " + c.err.Error()
	}
	words := []string{c.verdict.Proof()}
	if !c.changes.Holds() {
		words = append(words, c.changes.Proof())
	}
	if findings := slices.Concat(c.verdict.Findings, c.changes.Findings); len(findings) > 0 {
		first := findings[0]
		if r := []rune(first); len(r) > longestFinding {
			first = string(r[:longestFinding]) + "…"
		}
		words = append(words, first)
	}
	if len(c.found) > 0 {
		words = append(words, c.found[0])
	}
	return strings.ReplaceAll(strings.Join(words, "; "), "\n", ": ")
}

// drill runs the scenario on a cluster of its own. It is a drill in everything
// but that its faults are given: the same site, the same load, and the same
// checker, which know nothing of bugs.
func (sc scenario) drill(ctx context.Context, binary string, seed uint64, out io.Writer) (c caught) {
	rate := sc.rate
	if rate == 0 {
		rate = 1000
	}
	o := SoakOptions{Binary: binary, Version: "test", Seed: seed, Rate: rate, Out: out}
	k := &soak{SoakOptions: o, n: &narrator{out: out}, report: newReport(o), site: &Site{
		DuplicateWindow: soakDuplicateWindow, ReplayWindow: soakReplayWindow, Gate: NewGate(),
	}}
	k.site.Say = k.n.say
	k.chosen, c.err = ChooseFaults(sc.names())
	if c.err != nil {
		return c
	}
	defer func() { c.err = errors.Join(c.err, k.tearDown()) }()
	acts, err := sc.acts(rand.New(rand.NewPCG(seed, 2)))
	if err != nil {
		return caught{err: err}
	}
	if c.err = sc.raise(ctx, k); c.err != nil {
		return c
	}
	c.err = k.underLoad(ctx, func(ctx context.Context) error {
		for n, together := range acts {
			r := Round{Number: n + 1, Acts: together}
			k.n.say("round %d: %s", r.Number, r)
			k.inflict(ctx, r)
			c.faults += len(together)
			if err := sc.recover(ctx, k); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				c.found = append(c.found, err.Error())
				k.n.say("the nodes' last warnings and errors:\n%s", k.site.Cluster.Trouble(5))
				return nil // whatever came now would say no more
			}
		}
		return nil
	})
	if c.err != nil {
		return c
	}
	if c.found == nil { // what was published last is stored, too
		if err := sc.recover(ctx, k); err != nil {
			c.found = append(c.found, err.Error())
		}
	}
	c.found = append(c.found, k.site.Findings()...)
	if c.verdict, c.err = Check(ctx, k.site.Server.URL(), k.site.Ledger); c.err == nil {
		c.changes, c.err = CheckChanges(ctx, k.site.Server.URL(), k.site.Changes)
	}
	return c
}

// acts are the rounds, with what is left to chance drawn.
func (sc scenario) acts(chance *rand.Rand) ([][]Act, error) {
	var all [][]Act
	for range max(sc.rounds, 1) {
		var together []Act
		for _, st := range sc.steps {
			fs := faults()
			i := slices.IndexFunc(fs, func(f Fault) bool { return f.Name == st.fault })
			if i < 0 {
				return nil, fmt.Errorf("scenario %q: there is no fault %q", sc.name, st.fault)
			}
			together = append(together, Act{Fault: fs[i], After: st.after, Hold: st.hold, Seed: chance.Uint64()})
		}
		all = append(all, together)
	}
	return all, nil
}

// raise brings up the site, with what the scenario wants otherwise.
func (sc scenario) raise(ctx context.Context, k *soak) error {
	if err := k.setUp(ctx); err != nil {
		return err
	}
	if sc.maxBytes != "" {
		k.site.Cluster.opts.MaxBytes = sc.maxBytes
	}
	if sc.keys != "" {
		k.site.Cluster.opts.StreamKeys = sc.keys
	}
	if err := k.startNodes(ctx); err != nil {
		return err
	}
	if k.chooseHere(); len(k.report.LeftOut) > 0 {
		out := k.report.LeftOut[0]
		return fmt.Errorf("fault %s cannot be had here: %s", out.Fault, out.Why)
	}
	return sc.furnish(ctx, k)
}

// names of the scenario's faults.
func (sc scenario) names() []string {
	var names []string
	for _, st := range sc.steps {
		names = append(names, st.fault)
	}
	return names
}

// furnish makes the messages table what the scenario wants.
func (sc scenario) furnish(ctx context.Context, k *soak) error {
	if !sc.unique {
		if err := k.refuseBad(ctx); err != nil {
			return err
		}
	}
	var sql string
	switch {
	case sc.keyless:
		sql = `ALTER TABLE public.messages DROP CONSTRAINT messages_pkey, DROP CONSTRAINT messages_msg_id_key;
			CREATE INDEX ON public.messages (stream_id, msg_id)`
	case sc.unique:
		// A trigger says what a unique index would, without having to have a
		// row that nobody sent.
		sql = `CREATE FUNCTION refuse_bad() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				IF starts_with(NEW.content, '` + badBeginning + `') THEN
					RAISE unique_violation USING CONSTRAINT = 'orders_number_key', TABLE = 'messages';
				END IF;
				RETURN NEW;
			END $$;
			CREATE TRIGGER refuse_bad BEFORE INSERT ON public.messages FOR EACH ROW EXECUTE FUNCTION refuse_bad()`
	default:
		return nil
	}
	if _, err := k.site.SQL.Exec(ctx, sql); err != nil {
		return fmt.Errorf("furnish the messages table: %w", err)
	}
	return nil
}

// recover waits until all has recovered, for as long as is promised.
func (sc scenario) recover(ctx context.Context, k *soak) error {
	ctx, cancel := context.WithTimeoutCause(ctx, recoverLimit, fmt.Errorf("not within the %s that are promised", recoverLimit))
	defer cancel()
	took, err := k.recovery(ctx)
	if err == nil {
		k.n.say("recovered after %s", seconds(took))
	}
	return err
}

// bugDeadline bounds one drill of a scenario. Most take half a minute; a bug
// from which nothing recovers takes recoverLimit longer.
const bugDeadline = 4 * time.Minute
