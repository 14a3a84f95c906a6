package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/choria-io/fisk"

	"landfall/message"
	"landfall/process"
	"landfall/store"
)

func addDeadLettersRetry(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("retry", "Store some now that the cause is mended")
	cmd.HelpLong(`A dead letter becomes a row in its own place, once. Of a stream under mode upsert it is published again instead, as a
new message, because the row of its key may have newer values by now; that row is shown. Ctrl-C ends it between two.

Exits 1 if one is refused again.

Examples:

	app dead-letters retry ORDERS/17 ORDERS/18
	app dead-letters retry --reason orders_customer_fkey
	app dead-letters retry --all`)
	names := cmd.Arg("letters", "STREAM/SEQ ...").Strings()
	all := cmd.Flag("all", "All that wait").UnNegatableBool()
	var f letterFilter
	f.flags(cmd)
	asJSON := cmd.Flag("json", "Print JSON, a line for each").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		chosen := *all || *f.reason != "" || *f.stream != "" || f.sinceSet
		switch {
		case len(*names) == 0 && !chosen:
			return misuse(errors.New("which? Name them as STREAM/SEQ, choose them with --reason, --stream or --since, or say --all"), "")
		case len(*names) > 0 && chosen:
			return misuse(errors.New("name letters, or choose them by flags: not both"), "")
		}
		return env.withLetters(*config, func(l *letters) error {
			d := &dealing{letters: l, asJSON: *asJSON}
			if err := d.retry(ctx, f.filter(), *names); err != nil {
				return err
			}
			return d.end()
		})
	})
}

// retry deals with those that are named, or else with those that the filter
// chooses, and tells how it gets on.
func (d *dealing) retry(ctx context.Context, f store.DeadLetterFilter, names []string) error {
	one := func(l *message.DeadLetter) error {
		r, err := d.Retry(ctx, l, nil)
		return d.tell(l, r, err)
	}
	for _, name := range names {
		l, err := d.named(ctx, name, false)
		if err != nil {
			return err
		}
		if err := one(l); err != nil {
			return err
		}
	}
	if len(names) > 0 {
		return nil
	}
	// One that is published and refused again is a new letter, not for this run.
	var err error
	if f.Until, err = d.store.Now(ctx); err != nil {
		return err
	}
	count, err := d.store.CountDeadLetters(ctx, f)
	if err != nil {
		return err
	}
	d.said = time.Now()
	return d.Each(ctx, f, func(l *message.DeadLetter) error {
		if time.Since(d.said) > 5*time.Second {
			d.said = time.Now()
			fmt.Fprintf(d.env.stderr, "%d of %d dealt with, %d refused again\n", d.done, count, d.failed)
		}
		return one(l)
	})
}

func addDeadLettersEdit(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("edit", "Retry one with another body")
	name := cmd.Arg("letter", "STREAM/SEQ").Required().String()
	file := cmd.Flag("body", "The file with the body that it should have had").Required().PlaceHolder("FILE").String()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		body, err := os.ReadFile(*file)
		if err != nil {
			return misuse(err, "")
		}
		if body == nil {
			body = []byte{}
		}
		return env.withLetters(*config, func(l *letters) error {
			found, err := l.named(ctx, *name, false)
			if err != nil {
				return err
			}
			d := &dealing{letters: l, asJSON: *asJSON}
			r, err := l.Retry(ctx, found, body)
			if err := d.tell(found, r, err); err != nil {
				return err
			}
			return d.end()
		})
	})
}

func addDeadLettersDiscard(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("discard", "Give some up: they stay, marked as discarded")
	names := cmd.Arg("letters", "STREAM/SEQ ...").Required().Strings()
	yes := cmd.Flag("yes", "Do it").UnNegatableBool()
	asJSON := cmd.Flag("json", "Print JSON, a line for each").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		if !*yes {
			return misuse(errors.New("this gives messages up: say --yes if it is meant"), "")
		}
		return env.withLetters(*config, func(l *letters) error {
			d := &dealing{letters: l, asJSON: *asJSON}
			for _, name := range *names {
				found, err := l.named(ctx, name, false)
				if err != nil {
					return err
				}
				err = l.Discard(ctx, found)
				if err := d.tell(found, process.Retried{Resolution: "discarded"}, err); err != nil {
					return err
				}
			}
			return d.end()
		})
	})
}
