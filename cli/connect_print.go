package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"landfall/words"
)

// print prints a line for each check, what to do below those that are not
// well, and where the columns of the user's own tables come from. Its error is
// that a check has failed.
func (c *connector) print(w io.Writer) error {
	fmt.Fprint(w, "\nPostgres:\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	problems, notes := 0, 0
	for _, c := range c.checks {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", c.State, c.Check, c.Found)
		if c.Advice != "" {
			fmt.Fprintf(tw, "\t\t> %s\n", c.Advice)
		}
		switch c.State {
		case stateFailed:
			problems++
		case stateNote:
			notes++
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, m := range c.mappings {
		if err := m.print(w); err != nil {
			return err
		}
	}
	var told []string
	if problems > 0 {
		told = append(told, words.Count(problems, "problem"))
	}
	if notes > 0 {
		told = append(told, words.Count(notes, "note"))
	}
	if len(told) == 0 {
		told = append(told, "all is well")
	}
	fmt.Fprintf(w, "\n%s\n", strings.Join(told, ", "))
	if problems > 0 {
		return errReported
	}
	return nil
}
