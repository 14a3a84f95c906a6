package cli

import (
	"testing"

	"landfall/pgserver/pgtest"
)

const orders = `CREATE SCHEMA shop; CREATE TYPE shop.state AS ENUM ('open', 'paid');
	CREATE TABLE shop.orders (id bigint PRIMARY KEY, no serial, customer text NOT NULL, total numeric(12,2) DEFAULT 0, state shop.state, tags text[],
		tax numeric GENERATED ALWAYS AS (total * 0.2) STORED, msg_id text);`

// As TestConnect, for tables of the user's own.
func TestConnectOwnTables(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	for name, c := range map[string]struct {
		postgres func(p place) string
		streams  string
		code     int
	}{
		"own_fine": {func(p place) string {
			p.migrate()
			p.exec(orders + `CREATE UNIQUE INDEX ON shop.orders (msg_id)`)
			return "url: " + p.owner()
		}, `{ subjects: [orders], table: shop.orders, mode: upsert, key: [id], columns: { customer: $.customer.id, msg_id: message.id, tags: none } }`, 0},
		"own_notes": {func(p place) string {
			p.migrate()
			p.exec(orders + `ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
				CREATE FUNCTION shop.clean() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
				CREATE TRIGGER clean BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.clean()`)
			return "migrate: off\n  url: " + p.role(runs+`GRANT USAGE ON SCHEMA shop TO USER; GRANT USAGE ON SEQUENCE shop.orders_no_seq TO USER; GRANT INSERT, SELECT, UPDATE ON shop.orders TO USER`)
		}, `{ subjects: [orders], table: shop.orders, mode: upsert, key: [id], columns: { msg_id: message.id } }`, 0},
		"own_rights": {func(p place) string {
			p.migrate()
			p.exec(orders)
			return "migrate: off\n  url: " + p.role(runs+`GRANT USAGE ON SCHEMA shop TO USER`)
		}, `{ subjects: [orders], table: shop.orders, mode: keep_first, key: [id] }`, 1},
		"own_nowhere": {func(p place) string { p.migrate(); return "url: " + p.owner() },
			`{ subjects: [orders], table: shop.orders }`, 1},
		"own_column": {func(p place) string {
			p.migrate()
			p.exec(orders)
			return "url: " + p.owner()
		}, `{ subjects: [orders], table: shop.orders, columns: { custumer: $.customer.id } }`, 1},
		"own_key": {func(p place) string {
			p.migrate()
			p.exec(orders)
			return "url: " + p.owner()
		}, `{ subjects: [orders], table: shop.orders, mode: upsert, key: [customer] }`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := server.SQL(t.Context(), "postgres", `CREATE DATABASE `+name); err != nil {
				t.Fatal(err)
			}
			p := place{T: t, server: server, name: name}
			compareConnect(t, c.postgres(p), "  ORDERS: "+c.streams+"\n", c.code)
		})
	}
}
