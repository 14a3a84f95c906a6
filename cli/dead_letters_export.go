package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/choria-io/fisk"

	"landfall/message"
)

func addDeadLettersExport(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("export", "Print those that wait as NDJSON, whole")
	cmd.HelpLong(`Each line is a JSON object with the whole message. Mended, the lines can be published again by app dead-letters publish.

Examples:

	app dead-letters export > letters.ndjson
	app dead-letters export --reason 22001 | jq -c '.body |= gsub("  +"; " ")' | app dead-letters publish`)
	var f letterFilter
	f.flags(cmd)
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		return env.withLetters(*config, func(l *letters) error {
			return l.Each(ctx, f.filter(), func(d *message.DeadLetter) error { return env.printLine(d) })
		})
	})
}

// printLine prints a value as a line of JSON.
func (e *env) printLine(v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func addDeadLettersPublish(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("publish", "Publish lines of an export as new messages, mended or not")
	cmd.HelpLong(`Reads what app dead-letters export prints, from a file or standard input. Each line becomes a new message of its stream,
with the line's body and the letter's own subject and headers, and the letter is marked as published again. One that
somebody has dealt with meanwhile is left out, so that doing it twice does no harm.

Examples:

	app dead-letters publish mended.ndjson
	app dead-letters export --stream ORDERS | jq -c '.body |= sub("EUR"; "USD")' | app dead-letters publish`)
	file := cmd.Arg("file", "The lines; without it standard input").String()
	asJSON := cmd.Flag("json", "Print JSON, a line for each").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		in := env.stdin
		if *file != "" {
			f, err := os.Open(*file)
			if err != nil {
				return misuse(err, "")
			}
			defer f.Close()
			in = f
		}
		return env.withLetters(*config, func(l *letters) error {
			d := &dealing{letters: l, asJSON: *asJSON}
			if err := d.publish(ctx, in); err != nil {
				return err
			}
			return d.end()
		})
	})
}

func (d *dealing) publish(ctx context.Context, in io.Reader) error {
	lines := bufio.NewReader(in)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			l := &message.DeadLetter{}
			if err := json.Unmarshal(line, l); err != nil {
				return misuse(fmt.Errorf("line %d: %w", n, err), "publish what app dead-letters export prints; the lines before this one are published")
			}
			r, err := d.Publish(ctx, l, l.Message.Data)
			if err := d.tell(l, r, err); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read line %d: %w", n, err)
		}
	}
}
