package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"landfall/cluster"
)

// TableSize is how large a table is, with its partitions.
type TableSize struct {
	Rows  int64 // as Postgres estimates them; -1: it does not know yet
	Bytes int64 // on disk, with indexes and what is stored out of line
}

// sizes are those of the tables $1 in the schemas $2 that are there. A table
// that was never analyzed has an unknown number of rows, unless it is empty.
const sizes = `SELECT asked.schema, asked.name, size.bytes, size.rows
	FROM unnest($1::text[], $2::text[]) AS asked (schema, name)
	JOIN pg_namespace AS n ON n.nspname = asked.schema
	JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = asked.name AND c.relkind IN ('r', 'p')
	CROSS JOIN LATERAL (
		SELECT coalesce(sum(pg_total_relation_size(part.oid)), 0)::bigint AS bytes,
			CASE WHEN bool_or(part.reltuples <= 0 AND part.relpages = 0 AND pg_relation_size(part.oid) > 0) THEN -1
				ELSE coalesce(sum(greatest(part.reltuples, 0)), 0)::bigint END AS rows
		FROM pg_class AS part WHERE part.oid = c.oid AND c.relkind = 'r' OR c.relkind = 'p' AND part.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)) AS size`

// querySizes asks. Tables that are not there are not in the answer.
func querySizes(ctx context.Context, q querier, tables []pgx.Identifier) (map[string]TableSize, error) {
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t[0], t[1]
	}
	rows, err := q.Query(ctx, sizes, schemas, names)
	if err != nil {
		return nil, err
	}
	found := map[string]TableSize{}
	var schema, name string
	var one TableSize
	_, err = pgx.ForEachRow(rows, []any{&schema, &name, &one.Bytes, &one.Rows}, func() error {
		found[schema+"."+name] = one
		return nil
	})
	return found, err
}

// TableSizes tells how large the tables are that the streams fill, by their
// names.
func (s *Store) TableSizes(ctx context.Context, streams []string) (map[string]TableSize, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	var tables []pgx.Identifier
	for _, name := range streams {
		table := s.table
		if t := s.tables[name]; t != nil {
			table = pgx.Identifier{t.Schema, t.Name}
		}
		tables = append(tables, table)
	}
	found, err := querySizes(ctx, s.asking, tables)
	if err != nil {
		return nil, explain("ask how large the tables are", err)
	}
	return found, nil
}

// TableSizes tells how large those of a cluster's tables are that are there.
func (i *Inspection) TableSizes(ctx context.Context, c *cluster.Config) (map[string]TableSize, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	schema, name := splitTable(c.MessagesTable)
	tables := []pgx.Identifier{{schema, name}}
	for _, s := range c.Streams {
		if s.Table != nil {
			tables = append(tables, pgx.Identifier{s.Table.Schema, s.Table.Name})
		}
	}
	return querySizes(ctx, i.conn, tables)
}
