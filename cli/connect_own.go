package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"landfall/cluster"
	"landfall/store"
	"landfall/words"
)

// mappedTable is where the columns of a table of the user's own come from.
type mappedTable struct {
	Stream  string         `json:"stream"`
	Table   string         `json:"table"`
	Mode    cluster.Mode   `json:"mode"`
	Columns []mappedColumn `json:"columns"`
}

type mappedColumn struct {
	Column  string `json:"column"`
	Type    string `json:"type"`
	Source  string `json:"source,omitempty"`  // none: no message writes the column
	Default string `json:"default,omitempty"` // for messages without it; none: NULL
	Key     bool   `json:"key,omitempty"`

	Required bool `json:"required,omitempty"` // a message without it becomes a dead letter
	Computed bool `json:"computed,omitempty"` // by Postgres itself
}

// ownTables judges the tables of the user's own.
func (c *connector) ownTables(ctx context.Context, at *store.Inspection, server store.Server) {
	sizes, err := at.TableSizes(ctx, c.cfg)
	if err != nil {
		sizes = nil // not worth a problem of its own
	}
	for _, s := range c.cfg.Streams {
		if s.Table == nil {
			continue
		}
		o, err := at.OwnTable(ctx, s.Table)
		if err != nil {
			c.fail(s.Name, "", "%s cannot be looked at: %s", s.Table, words.Plain(err))
			continue
		}
		c.ownTable(s, &o, sizes, server)
	}
}

func (c *connector) ownTable(s cluster.Stream, o *store.OwnTable, sizes map[string]store.TableSize, server store.Server) {
	table := s.Table.String()
	if o.Problem != nil {
		c.fail(s.Name, o.Problem.Advice, "%s", o.Problem.Reason)
		return
	}
	m := mappedTable{Stream: s.Name, Table: table, Mode: s.Table.Mode}
	filled := 0
	for _, column := range o.Columns {
		if column.Source != "" {
			filled++
		}
		m.Columns = append(m.Columns, mappedColumn{column.Name, column.Type, column.Source, column.Default, column.Key, column.Key || column.Required, column.Computed})
	}
	c.mappings = append(c.mappings, m)
	c.ok(s.Name, "%s into %s; messages fill %d of its %s", s.Table.Mode, table, filled, words.Count(len(o.Columns), "column"))
	if size, ok := sizes[table]; ok {
		c.ok(s.Name, "%s has %s", table, tableSizeText(size))
	}
	for _, g := range grants(o.Lacking) {
		c.fail(s.Name, "as the owner: "+g.statement(server.Role), "%s lacks %s on %s %s", server.User, g.privileges, strings.ToLower(g.kind), g.on)
	}
	if o.NoDelete {
		c.note(s.Name, "nothing, if no message is to; else as the owner: GRANT DELETE ON TABLE "+table+" TO "+server.Role,
			"%s may not delete from %s: messages with Landfall-Op: delete would pause the stream", server.User, table)
	}
	if required := o.Required(); required != "" {
		c.ok(s.Name, "a message without %s becomes a dead letter", required)
	}
	if len(o.Triggers) > 0 {
		c.ok(s.Name, "triggers see each row: %s", strings.Join(o.Triggers, ", "))
	}
	if o.Policies {
		c.note(s.Name, "nothing, if that is meant", "row security policies apply to %s: a row that they refuse becomes a dead letter", server.User)
	}
	if s.Table.MapsID() && !o.KnowsID {
		c.note(s.Name, "create a unique index on that column alone", "no unique index is on the column of message.id: a message that is sent again later than duplicate_window is not known as one")
	}
}

// print prints the mapping as a table.
func (m *mappedTable) print(w io.Writer) error {
	fmt.Fprintf(w, "\n%s into %s, %s:\n\n", m.Stream, m.Table, m.Mode)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "COLUMN\tTYPE\tFROM\tOTHERWISE")
	for _, c := range m.Columns {
		from, otherwise := c.Source, "NULL"
		if c.Key {
			from += " (key)"
		}
		switch {
		case c.Computed:
			from, otherwise = "Postgres computes it", ""
		case from == "":
			from, otherwise = "no message", ""
		case c.Required:
			otherwise = "refused"
		case c.Default != "":
			otherwise = c.Default
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.Column, c.Type, from, otherwise)
	}
	return tw.Flush()
}
