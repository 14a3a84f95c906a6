package migrations_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	osexec "os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"landfall/migrations"
	"landfall/pgserver/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// connect opens a connection that the test's end closes.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, statements string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// get returns the only value of a query, as text.
func get(t *testing.T, conn *pgx.Conn, query string, args ...any) string {
	t.Helper()
	var s *string
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if s == nil {
		return "NULL"
	}
	return *s
}

func up(t *testing.T, url string, o migrations.Options) {
	t.Helper()
	if err := migrations.Up(t.Context(), url, o); err != nil {
		t.Fatal(err)
	}
}

// refused checks that Up fails with a SetupError that says all of this.
func refused(t *testing.T, url string, o migrations.Options, says ...string) {
	t.Helper()
	err := migrations.Up(t.Context(), url, o)
	var setup *migrations.SetupError
	if !errors.As(err, &setup) {
		t.Fatalf("got %v, want a SetupError", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

// schema describes everything that the migrations made, without the numbers
// that differ from database to database.
const schema = `
	SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT format('column %s.%s %s %s %s %s', table_schema, table_name, ordinal_position,
			column_name, data_type, column_default) AS line
		FROM information_schema.columns WHERE table_schema IN ('landfall', 'public')
		UNION ALL SELECT format('constraint %s on %s %s: %s', conname, conrelid::regclass,
			pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
		FROM pg_constraint WHERE conrelid <> 0 AND connamespace::regnamespace::text IN ('landfall', 'public')
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname IN ('landfall', 'public')
		UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace::regnamespace::text = 'landfall'
		UNION ALL SELECT format('table %s %s %s', oid::regclass, reloptions, obj_description(oid, 'pg_class'))
		FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('landfall', 'public')
		UNION ALL SELECT format('version %s %s', version_id, is_applied) FROM landfall.goose_db_version
	) lines`

func TestEveryNodeMayStartAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var log lines
	o := migrations.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
	var g errgroup.Group
	for range 8 {
		g.Go(func() error { return migrations.Up(t.Context(), url, o) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	if got := get(t, conn, `SELECT string_agg(version_id::text, ',' ORDER BY id) FROM landfall.goose_db_version`); got != "0,1,2,3" {
		t.Errorf("versions %s", got)
	}
	for _, once := range []string{`msg="created schema"`, `msg="applied migration" version=1`, `msg="applied migration" version=2`, `msg="applied migration" version=3`, `msg="created messages table"`} {
		if n := strings.Count(log.String(), once); n != 1 {
			t.Errorf("%s %d times in\n%s", once, n, log.String())
		}
	}
	before := get(t, conn, schema)
	up(t, url, migrations.Options{})
	if after := get(t, conn, schema); after != before {
		t.Errorf("a second Up changed\n%s\ninto\n%s", before, after)
	}
}

// lines is a log that several goroutines may write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestTablesTakeWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	up(t, url, migrations.Options{})
	conn := connect(t, url)
	exec(t, conn, `
		INSERT INTO landfall.streams (cluster, name, incarnation, start_seq, last_seq)
		VALUES ('c', 'MESSAGES', gen_random_uuid(), 1, 0);
		UPDATE landfall.streams SET last_seq = 4, last_time = 1, last_msg_id = '\x00ff', updated_at = now();
		INSERT INTO landfall.dead_letters (stream_id, seq) VALUES (1, 1);
		INSERT INTO landfall.dead_letters (stream_id, seq, subject, headers, payload, msg_id, published_at, sqlstate, reason)
		SELECT 1, 2, '\xff', '\x00', '\x', string_agg(sha256(n::text::bytea), ''), 1, '54000', 'too long'
		FROM generate_series(1, 1000) n;
		INSERT INTO landfall.duplicates (stream_id, seq, of_seq) VALUES (1, 3, 2);
		INSERT INTO landfall.gaps (stream_id, from_seq, to_seq) VALUES (1, 4, 4);
		INSERT INTO landfall.marks (stream_id, seq) VALUES (1, 4);
		INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES (1, 5, 's', '', now()), (1, 6, 's', '', now());
		INSERT INTO messages (stream_id, seq, subject, content_bytes, headers, msg_id, published_at)
		VALUES (1, 7, 's', '\x00', '{"a": ["b"]}', 'id', now()), (2, 7, 's', '\x00', NULL, 'id', now())`)

	for name, c := range map[string]struct{ statement, constraint string }{
		"same sequence":   {`INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES (1, 5, 's', 'x', now())`, "messages_pkey"},
		"same id":         {`INSERT INTO messages (stream_id, seq, subject, content, msg_id, published_at) VALUES (1, 8, 's', 'x', 'id', now())`, "messages_msg_id_key"},
		"no content":      {`INSERT INTO messages (stream_id, seq, subject, published_at) VALUES (1, 9, 's', now())`, "messages_content"},
		"two contents":    {`INSERT INTO messages (stream_id, seq, subject, content, content_bytes, published_at) VALUES (1, 9, 's', 'x', 'x', now())`, "messages_content"},
		"unknown stream":  {`INSERT INTO landfall.gaps (stream_id, from_seq, to_seq) VALUES (77, 1, 1)`, "gaps_stream_id_fkey"},
		"gap backwards":   {`INSERT INTO landfall.gaps (stream_id, from_seq, to_seq) VALUES (1, 10, 9)`, "gaps_order_check"},
		"cursor too low":  {`UPDATE landfall.streams SET last_seq = -1`, "streams_last_seq_check"},
		"same stream row": {`INSERT INTO landfall.streams (cluster, name, incarnation, start_seq, last_seq) SELECT cluster, name, incarnation, 1, 0 FROM landfall.streams`, "streams_incarnation_key"},
	} {
		_, err := conn.Exec(t.Context(), c.statement)
		var pg interface{ SQLState() string }
		if !errors.As(err, &pg) || !strings.Contains(err.Error(), `"`+c.constraint+`"`) {
			t.Errorf("%s: %v, want a violation of %s", name, err, c.constraint)
		}
	}
}

// TestCursorUpdatesTouchNoIndex is about the fillfactor, and about indexes
// that nobody should add: the cursor's update has to stay on its page.
func TestCursorUpdatesTouchNoIndex(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	up(t, url, migrations.Options{})
	conn := connect(t, url)
	exec(t, conn, `INSERT INTO landfall.streams (cluster, name, incarnation, start_seq, last_seq)
		SELECT 'c', 'S' || n, gen_random_uuid(), 1, 0 FROM generate_series(1, 100) n`)
	exec(t, conn, `BEGIN`)
	for range 40 { // with no room to be won back before the end
		exec(t, conn, `UPDATE landfall.streams SET last_seq = last_seq + 1, last_time = 5, last_msg_id = 'id', updated_at = now() WHERE id = 7`)
	}
	if got := get(t, conn, `SELECT pg_stat_get_xact_tuples_hot_updated('landfall.streams'::regclass)::text`); got != "40" {
		t.Errorf("%s of 40 updates stayed on their page", got)
	}
}

func TestTryJSONB(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	up(t, url, migrations.Options{})
	conn := connect(t, url)
	for document, want := range map[string]string{
		`{"a": [1, 2.50, null]}`:    `{"a": [1, 2.50, null]}`,
		`12345678901234567890`:      `12345678901234567890`,
		` "x" `:                     `"x"`,
		``:                          `NULL`,
		`{"a": `:                    `NULL`,
		`plain text`:                `NULL`,
		`"\u0000"`:                  `NULL`,
		`"\ud800"`:                  `NULL`,
		`1e999999`:                  `NULL`,
		strings.Repeat("[", 100000): `NULL`,
	} {
		if got := get(t, conn, `SELECT landfall.try_jsonb($1)::text`, document); got != want {
			t.Errorf("%.40s: %s, want %s", document, got, want)
		}
	}
	if got := get(t, conn, `SELECT landfall.try_jsonb(NULL)::text`); got != "NULL" {
		t.Errorf("NULL: %s", got)
	}
	// It must not break where a plan would like to be parallel.
	exec(t, conn, `SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
		INSERT INTO messages (stream_id, seq, subject, content, published_at)
		SELECT 1, n, 's', CASE WHEN n % 2 = 0 THEN '{"n":1}' ELSE '{' END, now() FROM generate_series(1, 5000) n; ANALYZE messages`)
	if got := get(t, conn, `SELECT count(*)::text FROM messages WHERE landfall.try_jsonb(content) @> '{"n":1}'`); got != "2500" {
		t.Errorf("%s of 2500", got)
	}
}

func TestOtherMessagesTable(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := connect(t, url)
	exec(t, conn, `CREATE SCHEMA "Big"`)
	o := migrations.Options{MessagesTable: "Big.Order_Messages"}
	up(t, url, o)
	up(t, url, o)
	if got := get(t, conn, `SELECT string_agg(conname, ' ' ORDER BY conname) FROM pg_constraint WHERE conrelid = '"Big"."Order_Messages"'::regclass`); got !=
		"Order_Messages_content Order_Messages_msg_id_key Order_Messages_pkey" {
		t.Errorf("constraints %s", got)
	}
	if got := get(t, conn, `SELECT to_regclass('public.messages')::text`); got != "NULL" {
		t.Errorf("public.messages is %s", got)
	}

	// Another name later: a new table, and the old one stays.
	exec(t, conn, `INSERT INTO "Big"."Order_Messages" (stream_id, seq, subject, content, published_at) VALUES (1, 1, 's', 'x', now())`)
	up(t, url, migrations.Options{MessagesTable: "later"})
	up(t, url, o)
	if got := get(t, conn, `SELECT count(*)::text FROM "Big"."Order_Messages"`); got != "1" {
		t.Errorf("%s rows in the old table", got)
	}
	if got := get(t, conn, `SELECT to_regclass('public.later')::text`); got != "later" {
		t.Errorf("public.later is %s", got)
	}
	// The mark goes with the table.
	exec(t, conn, `ALTER TABLE later RENAME TO latest`)
	up(t, url, migrations.Options{MessagesTable: "public.latest"})
}

func TestRefusesWhatIsNotLandfalls(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string]string{
		"table":          `CREATE TABLE messages (id int)`,
		"same columns":   `CREATE TABLE messages (stream_id bigint, seq bigint, subject text, content text)`,
		"commented":      `CREATE TABLE messages (id int); COMMENT ON TABLE messages IS 'Landfall writes here'`,
		"view":           `CREATE VIEW messages AS SELECT 1 AS id`,
		"commented view": `CREATE VIEW messages AS SELECT 1 AS id; COMMENT ON VIEW messages IS '[landfall messages 1]'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			conn := connect(t, url)
			exec(t, conn, ddl)
			refused(t, url, migrations.Options{}, "public.messages exists and is not Landfall's", "messages_table:", "cluster.yaml")
			if got := get(t, conn, `SELECT to_regnamespace('landfall')::text`); got != "NULL" {
				t.Error("it made its schema before it refused")
			}
			up(t, url, migrations.Options{MessagesTable: "landfall_messages"})
			state, err := migrations.Status(t.Context(), url, migrations.Options{})
			if err != nil || state.Messages != "foreign" || state.Current() {
				t.Errorf("status %+v, %v", state, err)
			}
		})
	}
}

func TestRefusesMessagesWithoutStreams(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := connect(t, url)
	up(t, url, migrations.Options{})
	exec(t, conn, `DROP SCHEMA landfall CASCADE`)
	up(t, url, migrations.Options{}) // no rows: nothing to collide with
	exec(t, conn, `INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES (1, 1, 's', 'x', now());
		DROP SCHEMA landfall CASCADE`)
	refused(t, url, migrations.Options{}, "public.messages holds messages", "restore the schema landfall")
}

func TestRefusesBadNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`a.b.c`, `a"b`, `1a`, `a.`, `.a`, `a b`, "öl", "public." + strings.Repeat("m", 53)} {
		refused(t, "postgres://nobody@127.0.0.1:1/none", migrations.Options{MessagesTable: name}, "no usable name", "messages_table:")
	}
	url := pgtest.Database(t)
	up(t, url, migrations.Options{MessagesTable: strings.Repeat("m", 52)})
	refused(t, url, migrations.Options{MessagesTable: "nowhere.messages"}, `CREATE SCHEMA "nowhere"`)
}

func TestRefusesAnotherEncoding(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	conn := connect(t, url)
	name := strings.ReplaceAll(get(t, conn, `SELECT current_database()`), "refuses", "ascii")
	exec(t, conn, fmt.Sprintf(`CREATE DATABASE %s ENCODING 'SQL_ASCII' TEMPLATE template0`, name))
	t.Cleanup(func() {
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, strings.ReplaceAll(url, "/"+config.Database, "/"+name), migrations.Options{}, "encoding is SQL_ASCII", "ENCODING 'UTF8'")
}

func TestSaysWhatIsWrongWithTheURL(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	refused(t, strings.Replace(url, "app:app@", "app:wrong@", 1), migrations.Options{}, "password authentication failed", "postgres.url")
	refused(t, url+"_not_there", migrations.Options{}, "does not exist", "postgres.url")
	refused(t, "postgres://a:secret@[", migrations.Options{}, "postgres.url")
}

func TestSaysWhichRightsAreMissing(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	admin := connect(t, url)
	database := get(t, admin, `SELECT current_database()`)
	role := "limited_" + database
	exec(t, admin, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD 'app'; REVOKE CREATE ON SCHEMA public FROM PUBLIC`, role))
	t.Cleanup(func() {
		statements := fmt.Sprintf(`DROP OWNED BY %[1]s CASCADE; DROP ROLE %[1]s`, role)
		if _, err := admin.Exec(context.WithoutCancel(t.Context()), statements); err != nil {
			t.Error(err)
		}
	})
	limited := strings.Replace(url, "app:app@", role+":app@", 1)

	first := fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s", database, role)
	second := fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA public TO %s", role)
	refused(t, limited, migrations.Options{}, first, second, "postgres.migrate_url")
	exec(t, admin, first)
	refused(t, limited, migrations.Options{}, second)
	exec(t, admin, second)
	up(t, limited, migrations.Options{})

	// With everything in place the rights to create are needed no more.
	exec(t, admin, fmt.Sprintf(`REVOKE CREATE ON DATABASE %s FROM %s; REVOKE CREATE ON SCHEMA public FROM %s`, database, role, role))
	up(t, limited, migrations.Options{})
}

func TestSaysThatTheTablesBelongToAnother(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	up(t, url, migrations.Options{})
	admin := connect(t, url)
	role := "other_" + get(t, admin, `SELECT current_database()`)
	exec(t, admin, fmt.Sprintf(`CREATE ROLE %[1]s LOGIN PASSWORD 'app'; GRANT USAGE, CREATE ON SCHEMA landfall, public TO %[1]s`, role))
	t.Cleanup(func() {
		statements := fmt.Sprintf(`DROP OWNED BY %[1]s CASCADE; DROP ROLE %[1]s`, role)
		if _, err := admin.Exec(context.WithoutCancel(t.Context()), statements); err != nil {
			t.Error(err)
		}
	})
	refused(t, strings.Replace(url, "app:app@", role+":app@", 1), migrations.Options{}, "belong to another role", "postgres.migrate_url")
}

func TestAnOutageIsNoSetupError(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	err := migrations.Up(t.Context(), s.URL(), migrations.Options{})
	var setup *migrations.SetupError
	if err == nil || errors.As(err, &setup) {
		t.Errorf("Postgres is down: %v", err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	up(t, s.URL(), migrations.Options{})
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	holder := connect(t, url)
	exec(t, holder, `SELECT pg_advisory_lock(x'6c616e6466616c6c'::bigint)`) // "landfall"
	ctx, cancel := context.WithCancel(t.Context())
	var log lines
	done := make(chan error, 1)
	go func() {
		done <- migrations.Up(ctx, url, migrations.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	}()
	eventually(t, "Up waits", func() bool { return strings.Contains(log.String(), "waiting for another node") })
	began := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Up: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v to end", took)
	}

	// And who waits gets the lock as soon as it is free.
	go func() { done <- migrations.Up(t.Context(), url, migrations.Options{}) }()
	exec(t, holder, `SELECT pg_advisory_unlock_all()`)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	before, err := migrations.Status(t.Context(), url, migrations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if before.Current() || before.Messages != "missing" || len(before.Migrations) != 3 || before.Migrations[0].AppliedAt != nil {
		t.Errorf("before: %+v", before)
	}
	if got := get(t, connect(t, url), `SELECT to_regnamespace('landfall')::text`); got != "NULL" {
		t.Error("Status made the schema")
	}
	up(t, url, migrations.Options{})
	after, err := migrations.Status(t.Context(), url, migrations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := after.Migrations[0]
	if !after.Current() || m.File != "00001_landfall.sql" || m.Version != 1 || m.AppliedAt == nil || time.Since(*m.AppliedAt).Abs() > time.Minute {
		t.Errorf("after: %+v", after)
	}
	other, err := migrations.Status(t.Context(), url, migrations.Options{MessagesTable: "other"})
	if err != nil || other.Current() || other.Messages != "missing" {
		t.Errorf("other table: %+v, %v", other, err)
	}
}

// TestPrintIsWhatUpDoes runs the printed script, compares, and lets Up find
// nothing left to do.
func TestPrintIsWhatUpDoes(t *testing.T) {
	t.Parallel()
	var script bytes.Buffer
	if err := migrations.Print(&script, "public.messages"); err != nil {
		t.Fatal(err)
	}
	printed, done := pgtest.Database(t), pgtest.Database(t)
	psql(t, printed, script.String())
	up(t, done, migrations.Options{})
	conn := connect(t, printed)
	want := get(t, connect(t, done), schema)
	if got := get(t, conn, schema); got != want {
		t.Errorf("the script makes\n%s\nUp makes\n%s", got, want)
	}
	up(t, printed, migrations.Options{})
	if got := get(t, conn, schema); got != want {
		t.Errorf("Up after the script makes\n%s", got)
	}
	if err := migrations.Print(&script, "not a name"); err == nil {
		t.Error("Print takes a bad name")
	}
}

// psql runs a script the way an administrator would.
func psql(t *testing.T, url, script string) {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), "psql", "-X", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", "-", url)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
}

// eventually waits for a condition, with a deadline.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain until", what)
		}
	}
}
