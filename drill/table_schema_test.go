package drill

import "fmt"

// The modes of a table, each with a stream and a table of its own.
const (
	modeAppend    = "append"
	modeUpsert    = "upsert"
	modeKeepFirst = "keep_first"
)

func tableModes() []string { return []string{modeAppend, modeUpsert, modeKeepFirst} }

// tableStream is the stream that fills a mode's table.
func tableStream(mode string) string { return "TABLE_" + mode }

// tableSchema makes three tables of one form: twelve columns of as many types,
// what refuses rows, and where a message came from. One row is there before,
// so that others can collide with it.
func tableSchema() string {
	sql := fmt.Sprintf(`CREATE SCHEMA proof;
		CREATE TYPE proof.state AS ENUM ('new', 'paid', 'sent');
		CREATE TABLE proof.customers (id bigint PRIMARY KEY);
		INSERT INTO proof.customers SELECT n + %d FROM generate_series(0, %d) AS n;
		CREATE TABLE proof.shops (id int PRIMARY KEY);
		INSERT INTO proof.shops SELECT generate_series(1, 10);
		CREATE FUNCTION proof.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.name = 'raise' THEN RAISE EXCEPTION 'a trigger refuses this'; END IF; RETURN NEW; END $$;`, int64(bigKey), customersCount-1)
	for _, mode := range tableModes() {
		sql += fmt.Sprintf(`CREATE TABLE proof.%[1]s (
			id bigint PRIMARY KEY,
			name varchar(40) NOT NULL,
			amount numeric CHECK (amount <> 13),
			ratio double precision,
			paid boolean,
			at timestamptz,
			day date DEFAULT '2020-02-02',
			ref uuid,
			doc jsonb,
			tags text[],
			state proof.state,
			raw bytea,
			customer bigint REFERENCES proof.customers,
			shop int REFERENCES proof.shops DEFERRABLE INITIALLY DEFERRED,
			slot int, EXCLUDE (slot WITH =),
			code text UNIQUE,
			region text, origin text, msg text, seq bigint);
			INSERT INTO proof.%[1]s (id, name, slot, code) VALUES (-1, 'there before', 1, 'taken');
			CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON proof.%[1]s FOR EACH ROW EXECUTE FUNCTION proof.refuse();`, mode)
	}
	return sql
}

// tableStreams are the streams as cluster.yaml has them.
func tableStreams() []string {
	var lines []string
	for _, mode := range tableModes() {
		key := ""
		if mode != modeAppend {
			key = "key: [id], "
		}
		lines = append(lines, fmt.Sprintf(`%s: { subjects: ["%s.>"], max_bytes: 1GiB, replay_window: 30m, duplicate_window: 10m, table: proof.%s, mode: %s, %s`+
			`columns: { customer: "$.buyer.who[1].id", region: "subject[2]", origin: 'header["X-Message-Origin"]', msg: message.id, seq: message.seq } }`,
			tableStream(mode), mode, mode, mode, key))
	}
	return lines
}

// tableColumns are what is compared, as texts; those of the message are last.
func tableColumns() []string {
	return []string{"id", "name", "amount", "ratio", "paid", "at", "day", "ref", "doc", "tags", "state", "raw", "customer", "shop", "slot", "code", "region", "origin", "msg", "seq"}
}

// tableText is the query for a mode's rows, all but the one that was there
// before.
func tableText(mode string) string {
	return `SELECT id::text, name, amount::text, ratio::text, paid::text, (at AT TIME ZONE 'UTC')::text || '+00', day::text, ref::text, doc::text,
		to_json(tags)::text, state::text, encode(raw, 'hex'), customer::text, shop::text, slot::text, code, region, origin, msg, seq::text
		FROM proof.` + mode + ` AS t WHERE id <> -1 ORDER BY t.seq`
}
