package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"landfall/cluster"
	"landfall/mapping"
)

// What the catalog says of every sort of column.
func TestOwnColumns(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE SCHEMA "Shop"`)
	d.exec(`CREATE TYPE "Shop".colour AS ENUM ('red', 'blue')`)
	d.exec(`CREATE DOMAIN "Shop".price AS numeric(10,2) DEFAULT 1 CHECK (VALUE >= 0)`)
	d.exec(`CREATE DOMAIN "Shop".cheap AS "Shop".price CHECK (VALUE < 10)`)
	d.exec(`CREATE TABLE "Shop"."Orders" (
		id bigint GENERATED ALWAYS AS IDENTITY,
		"Customer" text NOT NULL DEFAULT 'nobody',
		gone int,
		code varchar(3),
		amount "Shop".cheap,
		colour "Shop".colour,
		tags text[] DEFAULT '{}',
		times timestamptz(3)[],
		prices "Shop".price[],
		at timestamptz DEFAULT now(),
		day date,
		took interval,
		doc jsonb, raw bytea, flags bit(3), seq int DEFAULT 7,
		twice int GENERATED ALWAYS AS (gone * 2) STORED)`)
	d.exec(`ALTER TABLE "Shop"."Orders" ADD COLUMN later uuid`)
	table := &cluster.Table{Schema: "Shop", Name: "Orders"}
	seq, err := mapping.ParseSource("message.seq")
	if err != nil {
		t.Fatal(err)
	}
	table.Columns = []cluster.Column{{Name: "seq", Source: seq}}
	got, err := ownColumns(t.Context(), d.pool, table)
	if err != nil {
		t.Fatal(err)
	}
	column := func(name, typ string, kind mapping.Kind, cast, def string) ownColumn {
		return ownColumn{mapping.Column{Name: name, Source: mapping.Field(name), Kind: kind, Type: typ}, cast, def}
	}
	want := []ownColumn{
		column("Customer", "text", mapping.Text, "pg_catalog.text", "'nobody'::text"),
		column("gone", "integer", mapping.Scalar, "pg_catalog.int4", ""),
		column("code", "character varying(3)", mapping.Text, "pg_catalog.\"varchar\"", ""),
		column("amount", `"Shop".cheap`, mapping.Scalar, "numeric(10,2)", "1"),
		column("colour", `"Shop".colour`, mapping.Scalar, `"Shop".colour`, ""),
		column("tags", "text[]", mapping.ArrayOf(mapping.Text), "pg_catalog._text", "'{}'::text[]"),
		column("times", "timestamp(3) with time zone[]", mapping.ArrayOf(mapping.Time), "pg_catalog._timestamptz", ""),
		column("prices", `"Shop".price[]`, mapping.ArrayOf(mapping.Scalar), `"Shop"._price`, ""),
		column("at", "timestamp with time zone", mapping.Time, "pg_catalog.timestamptz", "now()"),
		column("day", "date", mapping.Time, "pg_catalog.date", ""),
		column("took", "interval", mapping.Scalar, `pg_catalog."interval"`, ""),
		column("doc", "jsonb", mapping.JSON, "pg_catalog.jsonb", ""),
		column("raw", "bytea", mapping.Bytes, "pg_catalog.bytea", ""),
		column("flags", "bit(3)", mapping.Scalar, `pg_catalog."bit"`, ""),
		column("seq", "integer", mapping.Scalar, "pg_catalog.int4", "7"),
		column("later", "uuid", mapping.Scalar, "pg_catalog.uuid", ""),
	}
	want[14].Source = seq
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What does not fit is said, with the column.
func TestOwnColumnsThatDoNotFit(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE TABLE own (id int GENERATED ALWAYS AS IDENTITY, a int, b int GENERATED ALWAYS AS (a) STORED)`)
	named := func(column string) []cluster.Column {
		return []cluster.Column{{Name: column, Source: mapping.Field("x")}}
	}
	for name, c := range map[string]struct {
		table cluster.Table
		says  []string
	}{
		"no table":  {cluster.Table{Schema: "public", Name: "Own"}, []string{"no table public.Own"}},
		"no schema": {cluster.Table{Schema: "nowhere", Name: "own"}, []string{"no table nowhere.own"}},
		"no column": {cluster.Table{Schema: "public", Name: "own", Columns: named("c")}, []string{`no column "c"`, "id, a, b"}},
		"no key":    {cluster.Table{Schema: "public", Name: "own", Key: []string{"c"}}, []string{`no column "c"`}},
		"identity":  {cluster.Table{Schema: "public", Name: "own", Columns: named("id")}, []string{`computes column "id"`}},
		"generated": {cluster.Table{Schema: "public", Name: "own", Columns: named("b")}, []string{`computes column "b"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ownColumns(t.Context(), d.pool, &c.table)
			wantSetup(t, err, c.says...)
		})
	}
}
