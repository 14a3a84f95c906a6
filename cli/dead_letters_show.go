package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/message"
)

// listedLetters is how many a list shows unless told otherwise.
const listedLetters = 100

func addDeadLettersList(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("list", "List those that wait, the oldest first")
	var f letterFilter
	f.flags(cmd)
	limit := cmd.Flag("limit", "How many at most; 0: all").Default(fmt.Sprint(listedLetters)).Int()
	all := cmd.Flag("resolved", "Those that are dealt with, too").UnNegatableBool()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		filter := f.filter()
		filter.Resolved, filter.Limit = *all, max(0, *limit)
		return env.withLetters(*config, func(l *letters) error {
			list := []*message.DeadLetter{}
			err := l.Each(ctx, filter, func(d *message.DeadLetter) error { list = append(list, d); return nil })
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(list)
			}
			count, err := l.store.CountDeadLetters(ctx, filter)
			if err != nil {
				return err
			}
			return env.printLetters(list, count)
		})
	})
}

func (e *env) printLetters(list []*message.DeadLetter, count int) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(e.stdout, "no dead letter waits")
		return err
	}
	t := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LETTER\tFAILED\tSUBJECT\tREASON")
	for _, l := range list {
		reason := printable(l.Reason)
		if l.Resolution != "" {
			reason = l.Resolution + ": " + reason
		}
		fmt.Fprintf(t, "%s/%d\t%s\t%s\t%s\n", l.Stream, l.Message.Seq, l.FailedAt.Local().Format(time.DateTime), printable(l.Message.Subject), reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := count - len(list); more > 0 {
		fmt.Fprintf(e.stdout, "and %d more: --limit, --stream, --reason and --since choose\n", more)
	}
	return nil
}

func addDeadLettersShow(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("show", "Show one whole: reason, what to do, headers, body, and the row of its key")
	name := cmd.Arg("letter", "STREAM/SEQ").Required().String()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		return env.withLetters(*config, func(l *letters) error {
			d, err := l.named(ctx, *name, true)
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(d)
			}
			row, err := l.Current(ctx, d)
			if err != nil {
				return err
			}
			return env.printLetter(d, l.tableOf(d.Stream), row)
		})
	})
}

func (e *env) printLetter(l *message.DeadLetter, t *cluster.Table, row []byte) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "reason\t%s\n", printable(l.Reason))
	if l.Resolution == "" {
		fmt.Fprintf(w, "to do\t%s\n", letterHint(l, t))
	} else {
		fmt.Fprintf(w, "resolved\t%s, %s\n", l.Resolution, l.ResolvedAt.Local().Format(time.DateTime))
	}
	fmt.Fprintf(w, "subject\t%s\nfailed\t%s\n", printable(l.Message.Subject), l.FailedAt.Local().Format(time.DateTime))
	if row != nil {
		fmt.Fprintf(w, "row of its key\t%s\n", row)
	}
	for _, k := range slices.Sorted(maps.Keys(l.Message.Header)) {
		for _, v := range l.Message.Header[k] {
			fmt.Fprintf(w, "header\t%s: %s\n", printable(k), printable(v))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "\n%s\n", strings.TrimSuffix(shownBody(l.Message.Data), "\n"))
	return err
}

// shownBody is the body as a terminal may be given it: text, or what `hexdump`
// would make of it.
func shownBody(data []byte) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }
	if utf8.Valid(data) && strings.IndexFunc(string(data), control) < 0 {
		return strings.ReplaceAll(string(data), "\r", "")
	}
	return hex.Dump(data)
}

// printable is what a terminal may be given of somebody's text: a message must
// not move the cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
