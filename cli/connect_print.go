package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// printChecks prints a line for each check, and what to do below those that
// are not well. Its error is that one has failed.
func printChecks(w io.Writer, checks []check) error {
	fmt.Fprint(w, "\nPostgres:\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	problems, notes := 0, 0
	for _, c := range checks {
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
	var told []string
	if problems > 0 {
		told = append(told, count(problems, "problem"))
	}
	if notes > 0 {
		told = append(told, count(notes, "note"))
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
