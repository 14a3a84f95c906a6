package store

import (
	"fmt"
	"strings"
)

// ownPoison is a kind of message that cannot be a row of a table of the user's
// own, which has the columns n, id and v.
type ownPoison struct {
	name    string
	v       string // the column's type and constraints
	set     string // what else the user did; TABLE is the table
	good    string // v's JSON; ID is the message's id
	bad     string // the same, or the whole body if it begins with =
	state   string // SQLSTATE of the dead letter; "" if Postgres was not asked
	reasons []string
}

// trigger is a trigger that refuses an odd row, and when.
func trigger(when, level, raise string) string {
	const refuses = `CREATE FUNCTION TABLE_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s RETURN NEW; END $$; CREATE %s ON TABLE %s EXECUTE FUNCTION TABLE_refuse()`
	return fmt.Sprintf(refuses, raise, when, level)
}

const oddRow = `IF NEW.v = 'odd' THEN RAISE 'an odd row: %', NEW.v; END IF;`

// refusedHere are kinds that never reach Postgres.
func refusedHere() []ownPoison {
	return []ownPoison{
		{name: "NUL byte", v: "text", good: `"a"`, bad: "\"a\x00\"", reasons: []string{"not JSON: a NUL byte at byte"}},
		{name: "NUL, escaped", v: "text", good: `"a"`, bad: `"a\u0000"`, reasons: []string{"$.v: NUL, which Postgres' text cannot hold"}},
		{name: "NUL in jsonb", v: "jsonb", good: `{"a": 1}`, bad: `{"a": "\u0000"}`, reasons: []string{"$.v:", `\u0000, which Postgres' json cannot hold`}},
		{name: "lone surrogate", v: "text", good: `"\ud83d\ude00"`, bad: `"\ud83d"`, reasons: []string{"$.v: a lone surrogate at byte"}},
		{name: "invalid UTF-8", v: "text", good: `"ä"`, bad: "\"\xff\"", reasons: []string{"invalid UTF-8 at byte"}},
		{name: "not JSON", v: "text", good: `"a"`, bad: `=hello`, reasons: []string{"not JSON: invalid character 'h' at start of value at byte 1"}},
		{name: "cut off", v: "text", good: `"a"`, bad: `={"id": ID, "v"`, reasons: []string{"not JSON: the document is cut off after byte"}},
		{name: "NaN unquoted", v: "float8", good: `1`, bad: `NaN`, reasons: []string{"not JSON"}},
		{name: "array for an object", v: "text", good: `"a"`, bad: `=[{"id": ID}]`, reasons: []string{"a JSON array, where an object is due"}},
		{name: "empty body", v: "text", good: `"a"`, bad: `=`, reasons: []string{"not JSON: the body is empty"}},
		{name: "deep nesting", v: "jsonb", good: `[[[[]]]]`, bad: strings.Repeat("[", 2000) + strings.Repeat("]", 2000), reasons: []string{"nested deeper than 1000"}},
		{name: "array for a text", v: "int", good: `1`, bad: `[1]`, reasons: []string{"$.v: a JSON array, where", "integer"}},
		{name: "not base64", v: "bytea", good: `"AAH/"`, bad: `"*"`, reasons: []string{"$.v: not base64"}},
		{name: "a time that moves", v: "date", good: `"2021-02-03"`, bad: `"tomorrow"`, reasons: []string{"$.v", "tomorrow"}},
	}
}

// refusedByType are kinds that no value of the column's type can be.
func refusedByType() []ownPoison {
	return []ownPoison{
		{name: "integer too large", v: "int", good: `2147483647`, bad: `2147483648`, state: "22003", reasons: []string{"2147483648", "out of range for type integer"}},
		{name: "integer with a fraction", v: "int", good: `3`, bad: `3.5`, state: "22P02", reasons: []string{`invalid input syntax for type integer: "3.5"`}},
		{name: "integer not a number", v: "int", good: `3`, bad: `"NaN"`, state: "22P02", reasons: []string{`type integer: "NaN"`}},
		{name: "numeric overflow", v: "numeric(4,1)", good: `999.9`, bad: `999.99`, state: "22003", reasons: []string{"numeric field overflow", "precision 4, scale 1"}},
		{name: "numeric infinite", v: "numeric(6,2)", good: `"NaN"`, bad: `"Infinity"`, state: "22003", reasons: []string{"cannot hold an infinite value"}},
		{name: "float too large", v: "float8", good: `"-Infinity"`, bad: `1e999`, state: "22003", reasons: []string{`"1e999" is out of range`}},
		{name: "jsonb number too large", v: "jsonb", good: `1e999`, bad: `1e999999`, state: "22003", reasons: []string{"numeric format"}},
		{name: "date that is none", v: "date", good: `"2020-02-29"`, bad: `"2021-02-29"`, state: "22008", reasons: []string{`out of range: "2021-02-29"`}},
		{name: "time that is none", v: "timestamptz", good: `"2026-01-02T03:04:05Z"`, bad: `"noon"`, state: "22007", reasons: []string{`"noon"`}},
		{name: "text too long", v: "varchar(5)", good: `"fit's"`, bad: `"too long"`, state: "22001", reasons: []string{"too long for type character varying(5)"}},
		{name: "text too long for a domain", v: "TABLE_five", set: `CREATE DOMAIN TABLE_five AS varchar(5)`, good: `"fits"`, bad: `"too long"`, state: "22001", reasons: []string{"too long"}},
		{name: "bits", v: "bit(3)", good: `"101"`, bad: `"1011"`, state: "22026", reasons: []string{"bit string length 4"}},
		{name: "enum", v: "TABLE_colour", set: `CREATE TYPE TABLE_colour AS ENUM ('red')`, good: `"red"`, bad: `"blue"`, state: "22P02", reasons: []string{"invalid input value for enum", `"blue"`}},
		{name: "uuid", v: "uuid", good: `"6e0f2c4e-5e0a-4b53-9b43-0d6b1b1f3a11"`, bad: `"none"`, state: "22P02", reasons: []string{`uuid: "none"`}},
		{name: "element of an array", v: "int[]", good: `[1, null]`, bad: `[1, "x"]`, state: "22P02", reasons: []string{`integer: "x"`}},
		{name: "domain's check", v: "TABLE_even", set: `CREATE DOMAIN TABLE_even AS int CONSTRAINT even CHECK (VALUE % 2 = 0)`, good: `2`, bad: `3`, state: "23514", reasons: []string{"violates check constraint \"even\""}},
		{name: "domain's check of elements", v: "TABLE_even[]", set: `CREATE DOMAIN TABLE_even AS int CONSTRAINT even CHECK (VALUE % 2 = 0)`, good: `[2]`, bad: `[2, 3]`, state: "23514", reasons: []string{"violates check constraint \"even\""}},
	}
}

// refusedByTable are kinds that the table's constraints and triggers refuse.
func refusedByTable() []ownPoison {
	const parent = `CREATE TABLE TABLE_parent (p int PRIMARY KEY); INSERT INTO TABLE_parent VALUES (1);
		ALTER TABLE TABLE ADD FOREIGN KEY (v) REFERENCES TABLE_parent`
	const taken = `INSERT INTO TABLE (id, v) VALUES (-1, -1)`
	const taken4 = `INSERT INTO TABLE (id, v) VALUES (-1, '[-9,-5)')`
	big := incompressible(1 << 20)
	return []ownPoison{
		{name: "not null", v: "int NOT NULL", good: `1`, bad: `null`, state: "23502", reasons: []string{`null value in column "v"`}},
		{name: "check", v: "int CONSTRAINT even CHECK (v % 2 = 0)", good: `2`, bad: `3`, state: "23514", reasons: []string{`violates check constraint "even"`, "Failing row contains"}},
		{name: "generated column", v: "int, w int GENERATED ALWAYS AS (1 / v) STORED", good: `1`, bad: `0`, state: "22012", reasons: []string{"division by zero"}},
		{name: "exclusion", v: "int4range, EXCLUDE USING gist (v WITH &&)", set: taken4, good: `"[ID,ID]"`, bad: `"[-8,-7)"`, state: "23P01", reasons: []string{"conflicting key value violates exclusion constraint", "[-9,-5)"}},
		{name: "exclusion, deferred", v: "int4range, EXCLUDE USING gist (v WITH &&) DEFERRABLE INITIALLY DEFERRED", set: taken4, good: `"[ID,ID]"`, bad: `"[-8,-7)"`, state: "23P01", reasons: []string{"exclusion constraint"}},
		{name: "foreign key", v: "int", set: parent, good: `1`, bad: `2`, state: "23503", reasons: []string{"violates foreign key constraint", "(v)=(2) is not present in table"}},
		{name: "foreign key, deferred", v: "int", set: parent + " DEFERRABLE INITIALLY DEFERRED", good: `1`, bad: `2`, state: "23503", reasons: []string{"(v)=(2) is not present in table"}},
		{name: "unique", v: "int UNIQUE", set: taken, good: `ID`, bad: `-1`, state: "23505", reasons: []string{"duplicate key value violates unique constraint", "(v)=(-1) already exists"}},
		{name: "unique, deferred", v: "int UNIQUE DEFERRABLE INITIALLY DEFERRED", set: taken, good: `ID`, bad: `-1`, state: "23505", reasons: []string{"(v)=(-1) already exists"}},
		{name: "trigger before a row", v: "text", set: trigger("TRIGGER refuse BEFORE INSERT OR UPDATE", "FOR EACH ROW", oddRow), good: `"a"`, bad: `"odd"`, state: "P0001", reasons: []string{"an odd row: odd"}},
		{name: "trigger after a row", v: "text", set: trigger("TRIGGER refuse AFTER INSERT", "FOR EACH ROW", oddRow), good: `"a"`, bad: `"odd"`, state: "P0001", reasons: []string{"an odd row: odd"}},
		{name: "trigger after a statement", v: "text", set: trigger("TRIGGER refuse AFTER INSERT", "REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT", `IF EXISTS (SELECT FROM fresh WHERE v = 'odd') THEN RAISE 'odd rows'; END IF;`),
			good: `"a"`, bad: `"odd"`, state: "P0001", reasons: []string{"odd rows"}},
		{name: "deferred trigger", v: "text", set: trigger("CONSTRAINT TRIGGER refuse AFTER INSERT", "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW", oddRow), good: `"a"`, bad: `"odd"`, state: "P0001", reasons: []string{"an odd row: odd"}},
		{name: "trigger that asserts", v: "text", set: trigger("TRIGGER refuse BEFORE INSERT", "FOR EACH ROW", `ASSERT NEW.v <> 'odd', 'no odd rows';`), good: `"a"`, bad: `"odd"`, state: "P0004", reasons: []string{"no odd rows"}},
		{name: "too long for an index", v: "text UNIQUE", good: `"ID"`, bad: `"` + big[:6<<10] + `"`, state: "54000", reasons: []string{"index row", "exceeds"}},
		{name: "not null beside a large field", v: "text NOT NULL", good: `"` + big + `"`, bad: `null`, state: "23502", reasons: []string{`null value in column "v"`}},
	}
}
