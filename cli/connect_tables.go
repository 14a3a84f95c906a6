package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"landfall/migrations"
	"landfall/store"
	"landfall/words"
)

// unreadable notes that nobody can tell how far the migrations are. If nodes
// do not run them, the role need not be able to.
func (c *connector) unreadable(err error) {
	advice, found := "", words.Plain(err)
	var setup *migrations.SetupError
	if errors.As(err, &setup) {
		advice, found = setup.Hint, setup.Problem
	}
	if c.cfg.Postgres.Migrate {
		c.fail("migrations", advice, "%s", found)
		return
	}
	c.note("migrations", "app migrate status, as the role that owns the tables", "cannot be seen: %s", found)
}

// stranger notes a messages table that no node would write to.
func (c *connector) stranger(l migrations.Outlook) bool {
	switch {
	case l.Messages == "foreign":
		c.fail("messages table", "choose another name with messages_table: in cluster.yaml, or rename the existing table", "%s exists and is not Landfall's", l.MessagesTable)
	case l.Orphan:
		c.fail("messages table", "restore the schema landfall from the same backup, or rename the table and start over",
			"%s holds messages, but landfall.streams, which knows what they belong to, is gone", l.MessagesTable)
	default:
		return false
	}
	return true
}

// migrations judges how far the tables are, and whether the nodes can go on
// from there.
func (c *connector) migrations(l migrations.Outlook) {
	var pending []string
	for _, m := range l.Migrations {
		if m.AppliedAt == nil {
			pending = append(pending, m.File)
		}
	}
	if l.Messages == "missing" {
		pending = append(pending, "table "+l.MessagesTable)
	}
	todo := strings.Join(pending, ", ")
	switch {
	case len(pending) == 0:
		c.ok("migrations", "up to date")
		return
	case !c.cfg.Postgres.Migrate:
		c.fail("migrations", "run app migrate up, or remove migrate: off", "not there yet, and postgres.migrate is off: %s", todo)
	default:
		c.ok("migrations", "will be made at start: %s", todo)
	}
	c.mayMigrate(l)
}

// mayMigrate judges whether the role that migrates may do what is left.
func (c *connector) mayMigrate(l migrations.Outlook) {
	const name = "rights to migrate"
	var lacks, advice []string
	if l.NoSchema {
		schema, _, _ := strings.Cut(l.MessagesTable, ".")
		lacks = append(lacks, "there is no schema "+schema)
		advice = append(advice, fmt.Sprintf("CREATE SCHEMA %s", schema))
	}
	if len(l.Grants) > 0 {
		lacks = append(lacks, "the role may not make what is missing")
		advice = append(advice, l.Grants...)
	}
	if len(l.Owners) > 0 {
		lacks = append(lacks, "the tables of schema landfall belong to "+strings.Join(l.Owners, ", "))
		advice = append(advice, "name that role in postgres.migrate_url")
	}
	switch {
	case len(lacks) == 0:
		c.ok(name, "the role may make what is missing")
	case !c.cfg.Postgres.Migrate: // somebody else may
		c.note(name, "run app migrate up as another role, or as an administrator: "+strings.Join(advice, "; "), "%s", strings.Join(lacks, "; "))
	default:
		c.fail(name, "as an administrator: "+strings.Join(advice, "; ")+"; or name a role that may in postgres.migrate_url", "%s", strings.Join(lacks, "; "))
	}
}

// tables judges what is there already: its columns, and what the role may.
// look is nil if nobody can tell how far the migrations are.
func (c *connector) tables(ctx context.Context, at *store.Inspection, server store.Server, look *migrations.Outlook) {
	table := c.cfg.MessagesTable
	if look != nil && look.Messages == "present" {
		l, err := at.Layout(ctx, table)
		if err != nil {
			c.fail("columns", "", "cannot be read: %s", words.Plain(err))
		} else {
			c.layout(table, l)
			c.size(ctx, at)
		}
	}
	lacking, err := at.LackingRights(ctx, table, c.cfg.Keep > 0)
	if err != nil {
		c.fail("rights", "", "cannot be read: %s", words.Plain(err))
		return
	}
	var needed, unused []store.Right
	for _, r := range lacking {
		if r.Unused {
			unused = append(unused, r)
		} else {
			needed = append(needed, r)
		}
	}
	for _, g := range grants(needed) {
		c.fail("rights", "as an administrator: "+g.statement(server.Role), "%s lacks %s on %s %s", server.User, g.privileges, strings.ToLower(g.kind), g.on)
	}
	for _, g := range grants(unused) {
		c.note("rights", "as an administrator: "+g.statement(server.Role), "%s lacks %s on %s %s, which nothing needs yet", server.User, g.privileges, strings.ToLower(g.kind), g.on)
	}
	switch {
	case len(lacking) > 0:
	case look != nil && !look.Current() && c.cfg.Postgres.MigrateURL != "":
		c.note("rights", "grant them after the migration, or now by ALTER DEFAULT PRIVILEGES",
			"%s will need USAGE on schema landfall, SELECT, INSERT, UPDATE and DELETE on its tables, %s on %s", server.User, c.rightsOnMessages(), table)
	case look != nil && !look.Current():
		c.ok("rights", "%s may make temporary tables, and will own the others", server.User)
	default:
		c.ok("rights", "%s may do all that storing needs", server.User)
	}
}

// layout judges the columns and keys of the messages table.
func (c *connector) layout(table string, l store.Layout) {
	const undo = "undo the change, or name another table with messages_table: app migrate print shows what Landfall expects"
	for _, column := range l.Missing {
		c.fail("columns", undo, "%s has no column %s", table, column)
	}
	for _, m := range l.Mistyped {
		c.fail("columns", undo, "%s.%s is %s, and must be %s", table, m.Column, m.Type, m.Want)
	}
	for _, column := range l.Demanding {
		c.fail("columns", "ALTER TABLE "+table+" ALTER "+column+" DROP NOT NULL, or give it a default",
			"%s.%s is NOT NULL, and not every message has a value for it", table, column)
	}
	if l.NoPrimary {
		c.fail("keys", undo, "%s has no primary key (stream_id, seq)", table)
	}
	if l.NoUniqueID {
		c.fail("keys", undo, "%s has no unique key (stream_id, msg_id), by which a message sent again is stored once", table)
	}
	if l.Fits() {
		c.ok("columns", "%s has the columns and keys that Landfall writes to", table)
	}
}

// grant is what a role lacks, on the things that it lacks it on.
type grant struct{ privileges, kind, on string }

func (g grant) statement(role string) string {
	return fmt.Sprintf("GRANT %s ON %s %s TO %s", g.privileges, g.kind, g.on, role)
}

// grants joins the rights on a thing, and then the things of a kind.
func grants(rights []store.Right) []grant {
	var single, joined []grant
	for _, r := range rights {
		kind, on, _ := strings.Cut(r.On, " ")
		if n := len(single); n > 0 && single[n-1].kind == kind && single[n-1].on == on {
			single[n-1].privileges += ", " + r.Privilege
		} else {
			single = append(single, grant{r.Privilege, kind, on})
		}
	}
	for _, g := range single {
		at := slices.IndexFunc(joined, func(j grant) bool { return j.kind == g.kind && j.privileges == g.privileges })
		if at < 0 {
			joined = append(joined, g)
		} else {
			joined[at].on += ", " + g.on
		}
	}
	return joined
}
