package cli

import (
	"context"
	"fmt"

	"landfall/store"
	"landfall/words"
)

// size tells how large the messages table is.
func (c *connector) size(ctx context.Context, at *store.Inspection) {
	table := c.cfg.MessagesTable
	sizes, err := at.TableSizes(ctx, c.cfg)
	size, there := sizes[table]
	switch {
	case err != nil:
		c.fail("size", "", "cannot be asked: %s", words.Plain(err))
	case there && c.cfg.Keep > 0:
		c.ok("size", "%s has %s; rows older than %s are deleted", table, tableSizeText(size), words.Duration(c.cfg.Keep))
	case there:
		c.ok("size", "%s has %s; rows stay for ever", table, tableSizeText(size))
	}
}

// rightsOnMessages are those that a sink needs on the messages table.
func (c *connector) rightsOnMessages() string {
	if c.cfg.Keep > 0 {
		return "SELECT, INSERT and DELETE"
	}
	return "SELECT and INSERT"
}

// tableSizeText says in words how large a table is.
func tableSizeText(s store.TableSize) string {
	switch {
	case s.Rows < 0:
		return fmt.Sprintf("rows that Postgres has not counted yet, on %s", words.Size(s.Bytes))
	case s.Rows == 0:
		return "no rows, on " + words.Size(s.Bytes)
	default:
		return fmt.Sprintf("about %s, on %s", words.Count(int(s.Rows), "row"), words.Size(s.Bytes))
	}
}
