package cli

import (
	"fmt"
	"io"
	"strings"

	"landfall/cluster"
	"landfall/words"
)

// printTables lists the tables of the user's own, if there are any.
func printTables(w io.Writer, cfg *cluster.Config) {
	head := "\nSTREAM\tTABLE OF YOUR OWN\tMODE\tKEY\n"
	for _, s := range cfg.Streams {
		if s.Table == nil {
			continue
		}
		key := strings.Join(s.Table.Key, ", ")
		if key == "" {
			key = "-"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\n", head, s.Name, s.Table, s.Table.Mode, key)
		head = ""
	}
}

// repeatNotes tells of which streams a message that comes again late is not
// known as such.
func repeatNotes(cfg *cluster.Config) []string {
	var notes []string
	for _, s := range cfg.Streams {
		if s.Table == nil || s.Table.MapsID() {
			continue
		}
		what := "becomes a second row"
		switch s.Table.Mode {
		case cluster.Upsert:
			what = "may put an older value over a newer one"
		case cluster.KeepFirst:
			continue // the row stays as it is
		}
		notes = append(notes, fmt.Sprintf("%s: no column of %s is message.id, so a message that is sent again later than duplicate_window (%s) %s. To have it known, give the table a column with a unique index and map it, such as columns: { msg_id: message.id }",
			s.Name, s.Table, words.Duration(s.DuplicateWindow), what))
	}
	return notes
}
