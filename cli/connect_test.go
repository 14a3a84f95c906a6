package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"landfall/cluster"
	"landfall/migrations"
	"landfall/pgserver"
	"landfall/pgserver/pgtest"
	"landfall/store"
)

// place is a database of a test's own, and a role that has no rights there but
// those that everybody has.
type place struct {
	*testing.T
	server  *pgserver.Server
	name    string
	pooler  func() string
	nowhere string // an address on which nobody listens
}

func (p place) owner() string { return p.server.URLFor(p.name) }

func (p place) exec(statements string) {
	p.Helper()
	conn, err := pgx.Connect(p.Context(), p.owner())
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = conn.Close(p.Context()) }()
	if _, err := conn.Exec(p.Context(), statements); err != nil {
		p.Fatalf("%s: %v", statements, err)
	}
}

func (p place) migrate() {
	p.Helper()
	if err := migrations.Up(p.Context(), p.owner(), migrations.Options{}); err != nil {
		p.Fatal(err)
	}
}

// as is the URL of another user, and edited with another part.
func (p place) as(user, password string) string {
	return p.edited(func(u *url.URL) { u.User = url.UserPassword(user, password) })
}

func (p place) edited(edit func(*url.URL)) string {
	u, err := url.Parse(p.owner())
	if err != nil {
		p.Fatal(err)
	}
	edit(u)
	return u.String()
}

// role makes a user NAME_user.
func (p place) role(more string) string {
	p.Helper()
	p.exec(`CREATE USER ` + p.name + `_user PASSWORD 's3cret-s3cret'; ` + strings.ReplaceAll(more, "USER", p.name+"_user"))
	return p.as(p.name+"_user", "s3cret-s3cret")
}

const runs = `GRANT USAGE ON SCHEMA landfall TO USER; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA landfall TO USER;
	GRANT SELECT, INSERT ON messages TO USER; `

// Each case is a Postgres, and what validate --connect says of it is beside
// it, in testdata/connect. With UPDATE_GOLDEN set, the texts are written anew;
// read what changed.
func TestConnect(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	for name, c := range map[string]struct {
		postgres func(p place) string // the lines below postgres:, after making it so
		code     int
	}{
		"fresh":    {func(p place) string { return "url: " + p.owner() }, 0},
		"migrated": {func(p place) string { p.migrate(); return "url: " + p.owner() }, 0},
		"off":      {func(p place) string { return "migrate: off\n  url: " + p.owner() }, 1},
		"away": {func(p place) string {
			return "url: " + p.edited(func(u *url.URL) { u.Host = p.nowhere }) + "\n  migrate_url: " + p.as("app", "s3cret-s3cret")
		}, 1},
		"password": {func(p place) string { return "url: " + p.as("app", "s3cret-s3cret") }, 1},
		"database": {func(p place) string { return "url: " + p.edited(func(u *url.URL) { u.Path = "/nowhere" }) }, 1},
		"option":   {func(p place) string { return "url: " + p.owner() + "?sslmode=perhaps" }, 1},
		"strange": {func(p place) string {
			p.exec(`CREATE TABLE messages (id int)`)
			return "url: " + p.owner()
		}, 1},
		"orphan": {func(p place) string {
			p.migrate()
			p.exec(`INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES (1, 1, '', '', now()); DROP SCHEMA landfall CASCADE`)
			return "url: " + p.owner()
		}, 1},
		"read_only": {func(p place) string {
			p.migrate()
			p.exec(`ALTER DATABASE read_only SET default_transaction_read_only = on`)
			return "url: " + p.owner()
		}, 1},
		"columns": {func(p place) string {
			p.migrate()
			p.exec(`ALTER TABLE messages DROP headers, ADD tenant text NOT NULL, ALTER content TYPE bytea USING NULL, DROP CONSTRAINT messages_pkey`)
			return "url: " + p.owner()
		}, 1},
		"no_rights": {func(p place) string {
			p.migrate()
			return "migrate: off\n  url: " + p.role(`REVOKE TEMPORARY ON DATABASE no_rights FROM PUBLIC`)
		}, 1},
		"all_rights": {func(p place) string {
			p.migrate()
			return "migrate: off\n  url: " + p.role(runs)
		}, 0},
		"keep": {func(p place) string {
			p.migrate()
			p.exec(`INSERT INTO landfall.streams (cluster, name, incarnation, start_seq, last_seq) VALUES ('c', 'S', gen_random_uuid(), 1, 1000);
				INSERT INTO messages (stream_id, seq, subject, content, published_at) SELECT 1, n, 's', repeat('x', 1000), now() FROM generate_series(1, 1000) AS n; ANALYZE messages`)
			return "migrate: off\n  url: " + p.role(runs) + "\nkeep: 720h"
		}, 1},
		"spare_rights": {func(p place) string {
			p.migrate()
			return "migrate: off\n  url: " + p.role(runs+`REVOKE DELETE ON landfall.gaps FROM USER`)
		}, 0},
		"may_not_migrate": {func(p place) string {
			return "url: " + p.role(`REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
		}, 1},
		"owner_before": {func(p place) string { return "url: " + p.role("") + "\n  migrate_url: " + p.owner() }, 0},
		"owner_after": {func(p place) string {
			p.migrate()
			return "url: " + p.role(runs) + "\n  migrate_url: " + p.owner()
		}, 0},
		"owner_elsewhere": {func(p place) string {
			p.migrate()
			return "url: " + p.owner() + "\n  migrate_url: " + p.edited(func(u *url.URL) { u.Path = "/app" })
		}, 1},
		"few_connections": {func(p place) string {
			p.migrate()
			p.exec(`ALTER DATABASE few_connections CONNECTION LIMIT 5`)
			return "url: " + p.owner()
		}, 0},
		"pooler":            {func(p place) string { p.migrate(); return "url: " + p.pooler() }, 1},
		"pooler_off":        {func(p place) string { p.migrate(); return "migrate: off\n  url: " + p.pooler() }, 0},
		"pooler_and_direct": {func(p place) string { p.migrate(); return "url: " + p.pooler() + "\n  migrate_url: " + p.owner() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := server.SQL(t.Context(), "postgres", `CREATE DATABASE `+name); err != nil {
				t.Fatal(err)
			}
			p := place{T: t, server: server, name: name, nowhere: nowhere(t)}
			p.pooler = func() string { return pgtest.Pooler(t, p.owner()) }
			compareConnect(t, c.postgres(p), "", c.code)
		})
	}
}

func TestConnectToAnUnsafeServer(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgserver.Options{Settings: map[string]string{"fsync": "off", "full_page_writes": "off"}})
	compareConnect(t, "url: "+server.URL(), "", 0)
}

// What no server here can be.
func TestConnectJudges(t *testing.T) {
	t.Parallel()
	cfg := &cluster.Config{Nodes: make([]cluster.Node, 3), Streams: make([]cluster.Stream, 2),
		Postgres: cluster.Postgres{URL: "postgres://app@127.0.0.1:1/app"}}
	fine := store.Server{Version: 130000, Encoding: "UTF8", Fsync: true, FullPageWrites: true, SessionLimit: 97}
	server := func(edit func(s *store.Server)) func(c *connector) {
		s := fine
		edit(&s)
		return func(c *connector) { c.server(s); c.sessions(s) }
	}
	for name, x := range map[string]struct {
		judge func(c *connector)
		want  []string // what is not ok: state and check
	}{
		"fine":        {server(func(*store.Server) {}), nil},
		"old":         {server(func(s *store.Server) { s.Version = 120000 }), []string{"failed version"}},
		"encoding":    {server(func(s *store.Server) { s.Encoding = "LATIN1" }), []string{"failed version"}},
		"standby":     {server(func(s *store.Server) { s.Standby = true }), []string{"failed writable"}},
		"full":        {server(func(s *store.Server) { s.Sessions = 90 }), []string{"note connections"}},
		"full of us":  {server(func(s *store.Server) { s.Sessions, s.ClusterSessions = 90, 80 }), nil},
		"just enough": {server(func(s *store.Server) { s.SessionLimit = 5 }), []string{"note connections"}},
		"too few":     {server(func(s *store.Server) { s.SessionLimit = 4 }), []string{"failed connections"}},
		"here":        {func(c *connector) { c.connected("k", "p", &store.Inspection{Local: true}) }, nil},
		"TLS":         {func(c *connector) { c.connected("k", "p", &store.Inspection{TLS: true}) }, nil},
		"in the open": {func(c *connector) { c.connected("k", "p", &store.Inspection{}) }, []string{"note k"}},
		"same time":   {func(c *connector) { c.clock(-clockTolerance, 0) }, nil},
		"slow way":    {func(c *connector) { c.clock(clockTolerance+time.Second, time.Second) }, nil},
		"behind":      {func(c *connector) { c.clock(-clockTolerance-time.Second, 0) }, []string{"note clock"}},
		"ahead":       {func(c *connector) { c.clock(time.Hour, time.Second) }, []string{"note clock"}},
	} {
		c := &connector{cfg: cfg}
		x.judge(c)
		var got []string
		for _, found := range c.checks {
			if found.State != stateOK {
				got = append(got, found.State+" "+found.Check)
				if found.Advice == "" {
					t.Errorf("%s: no advice on %s", name, found.Check)
				}
			}
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Ctrl-C ends it, whatever it waits for.
func TestConnectIsInterrupted(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := connectFile(t, "url: postgres://app@"+l.Addr().String()+"/app", "")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // ends with the listener
		if c, err := l.Accept(); err == nil {
			cancel()
			defer c.Close()
			<-t.Context().Done()
		}
	}()
	var out, errs bytes.Buffer
	err = Run(ctx, []string{"validate", "--connect", "--config", file}, nil, &out, &errs)
	if !errors.Is(err, errInterrupted) || strings.Contains(out.String(), "failed") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func connectFile(t *testing.T, postgres, streams string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	text := `cluster: landfall
nodes:
  n1: { client: 127.0.0.1:4231, route: 127.0.0.1:6231, http: 127.0.0.1:8231 }
streams:
  MESSAGES: { subjects: [messages] }
` + streams + `postgres:
  ` + postgres + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// compareConnect runs the command as people do and as programs do.
func compareConnect(t *testing.T, postgres, streams string, code int) {
	t.Helper()
	file := connectFile(t, postgres, streams)
	var text, asJSON, errs bytes.Buffer
	for _, run := range []struct {
		out  *bytes.Buffer
		args []string
	}{{&text, nil}, {&asJSON, []string{"--json"}}} {
		args := append([]string{"validate", "--connect", "--config", file}, run.args...)
		err := Run(t.Context(), args, nil, run.out, &errs)
		if got := ExitCode(err); got != code || errs.Len() > 0 {
			t.Errorf("exit code %d, want %d: %s", got, code, errs.String())
		}
		if out := run.out.String(); strings.Contains(out, "s3cret") || strings.Contains(out, "app:app") {
			t.Errorf("a password is told: %s", out)
		}
	}
	_, got, _ := strings.Cut(text.String(), "\nPostgres:\n\n")
	got = plain(got)
	golden := filepath.Join("testdata", "connect", strings.Trim(strings.ReplaceAll(strings.TrimPrefix(t.Name(), "TestConnect"), "/", "_"), "_")+".txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
	compareJSON(t, asJSON.Bytes(), got, code)
}

// compareJSON looks for what the JSON says in the text.
func compareJSON(t *testing.T, asJSON []byte, text string, code int) {
	t.Helper()
	var v validation
	if err := json.Unmarshal(asJSON, &v); err != nil {
		t.Fatal(err)
	}
	if v.Fine != (code == 0) || len(v.Checks) == 0 {
		t.Errorf("fine is %v, %d checks", v.Fine, len(v.Checks))
	}
	for _, c := range v.Checks {
		line := regexp.MustCompile(fmt.Sprintf(`(?m)^%s +%s +%s$`, c.State, regexp.QuoteMeta(c.Check), regexp.QuoteMeta(plain(c.Found))))
		if !line.MatchString(text) || !strings.Contains(text, plain(c.Advice)) {
			t.Errorf("the text lacks %+v", c)
		}
	}
}

// plain takes out what differs from run to run.
func plain(s string) string {
	for pattern, by := range map[string]string{
		`127\.0\.0\.1:\d+`:                      "HOST:PORT",
		`connected in \S+s\b`:                   "connected in 1ms",
		`PostgreSQL [\d.]+`:                     "PostgreSQL 15",
		`Postgres takes \d\d+, others have \d+`: "Postgres takes 97, others have 2",
		`(\d+_\w+\.sql, )+`:                     "MIGRATIONS, ",
		`nodes open \d+`:                        "nodes open 9",
		`, others have \d+`:                     ", others have 2",
	} {
		s = regexp.MustCompile(pattern).ReplaceAllString(s, by)
	}
	return s
}
