package store

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

func inspect(t *testing.T, url string) *Inspection {
	t.Helper()
	i, err := Inspect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

func serverOf(t *testing.T, url string) Server {
	t.Helper()
	s, err := inspect(t, url).Server(t.Context(), "testers")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInspectServer(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.enter(d.node("n1").Stream("S")) // leaves a session
	i := inspect(t, d.url)
	if !i.Local || i.TLS || i.Took <= 0 {
		t.Errorf("%+v", i)
	}
	s, err := i.Server(t.Context(), "testers")
	if err != nil {
		t.Fatal(err)
	}
	if s.Version < 130000 || s.Place == "" || s.Release == "" || s.Sessions < s.ClusterSessions || s.ClusterSessions < 1 {
		t.Errorf("%+v", s)
	}
	want := Server{User: "app", Role: "app", Database: one[string](d, `SELECT current_database()`), Encoding: "UTF8", Fsync: true, FullPageWrites: true, SessionLimit: 297}
	if diff := cmp.Diff(want, s, cmpopts.IgnoreFields(Server{}, "Place", "Version", "Release", "Sessions", "ClusterSessions")); diff != "" {
		t.Error(diff)
	}
	if ahead, uncertain, err := i.Clock(t.Context()); err != nil || ahead.Abs() > time.Second+uncertain {
		t.Errorf("the clock is %s ahead: %v", ahead, err)
	}
	if err := i.Begins(t.Context()); err != nil {
		t.Error(err)
	}
	if v := serverOf(t, pgtest.Database(t)); v.Place == s.Place {
		t.Error("two databases look like one")
	}
	d.exec(`ALTER DATABASE ` + s.Database + ` CONNECTION LIMIT 40; ALTER DATABASE ` + s.Database + ` SET default_transaction_read_only = on`)
	if s := serverOf(t, d.url); !s.ReadOnly || s.Standby || s.SessionLimit != 40 {
		t.Errorf("%+v", s)
	}
}

func TestInspectAnUnsafeServer(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgserver.Options{Settings: map[string]string{"fsync": "off", "full_page_writes": "off"}})
	if s := serverOf(t, server.URL()); s.Fsync || s.FullPageWrites {
		t.Errorf("%+v", s)
	}
}

func TestInspectAStandby(t *testing.T) {
	t.Parallel()
	dir := pgtest.Dir(t)
	server := pgtest.Start(t, pgserver.Options{Dir: dir})
	if err := server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := serverOf(t, server.URL()); !s.Standby {
		t.Errorf("%+v", s)
	}
}

// What is refused is told without the password.
func TestInspectRefused(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for name, c := range map[string]struct {
		url   string
		state string
		is    error
	}{
		"password": {url: d.edited(func(u *url.URL) { u.User = url.UserPassword("app", "hunter22") }), state: "28P01"},
		"database": {url: d.edited(func(u *url.URL) { u.Path = "/nowhere" }), state: "3D000"},
		"away":     {url: "postgres://app:hunter22@127.0.0.1:1/app"},
		"option":   {url: "postgres://app:hunter22@127.0.0.1:1/app?sslmode=perhaps", is: ErrConnectionString},
		"file":     {url: "host=h password='hun\\'ter22' sslrootcert=/nowhere sslmode=verify-full", is: ErrConnectionString},
		"spaces":   {url: "host=h password = 'hunter22' sslmode=perhaps", is: ErrConnectionString},
		"query":    {url: "postgres://app@h/app?password=hunter22&sslmode=perhaps", is: ErrConnectionString},
		"url":      {url: "postgres://app:hunter22@[::1/app", is: ErrConnectionString},
	} {
		_, err := Inspect(t.Context(), c.url)
		if err == nil || SQLState(err) != c.state || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, state %q", name, err, SQLState(err))
			continue
		}
		if strings.Contains(err.Error(), "ter22") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInspectPooler(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	for url, want := range map[string]bool{d.url: false, pgtest.Pooler(t, d.url): true} {
		i := inspect(t, url)
		if shared, err := i.Shared(t.Context()); err != nil || shared != want {
			t.Errorf("shared is %v: %v, want %v", shared, err, want)
		}
		if err := i.Begins(t.Context()); err != nil {
			t.Error(err)
		}
		if s := serverOf(t, url); s.User != "app" {
			t.Errorf("%+v", s)
		}
	}
}

// Each right that storing needs is missed, and none but these.
func TestLackingRights(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	name := one[string](d, `SELECT current_database()`)
	role := name + "_user"
	d.exec(`CREATE USER ` + role + ` PASSWORD 'secret'; REVOKE TEMPORARY ON DATABASE ` + name + ` FROM PUBLIC`)
	d.afterwards(`DROP OWNED BY `+role, `DROP USER `+role)
	i := inspect(t, d.edited(func(u *url.URL) { u.User = url.UserPassword(role, "secret") }))
	lacking := func() []Right {
		t.Helper()
		rights, err := i.LackingRights(t.Context(), "public.messages", false)
		if err != nil {
			t.Fatal(err)
		}
		return rights
	}
	all := lacking()
	for _, must := range []Right{{"TEMPORARY", "DATABASE " + name, false}, {"USAGE", "SCHEMA landfall", false},
		{"DELETE", "TABLE landfall.marks", false}, {"DELETE", "TABLE landfall.gaps", true},
		{"INSERT", "TABLE public.messages", false}, {"UPDATE", "TABLE landfall.streams", false}} {
		if !slices.Contains(all, must) {
			t.Errorf("%v is not missed", must)
		}
	}
	for _, r := range all {
		d.exec(`GRANT ` + r.Privilege + ` ON ` + r.On + ` TO ` + role)
	}
	if rest := lacking(); len(rest) > 0 {
		t.Errorf("still lacking %v", rest)
	}
	for _, r := range all {
		d.exec(`REVOKE ` + r.Privilege + ` ON ` + r.On + ` FROM ` + role)
		if got := lacking(); !slices.Equal(got, []Right{r}) {
			t.Errorf("without %v it lacks %v", r, got)
		}
		d.exec(`GRANT ` + r.Privilege + ` ON ` + r.On + ` TO ` + role)
	}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql  string
		want Layout
	}{
		"as made":            {},
		"more columns":       {sql: `ALTER TABLE messages ADD note text, ADD at timestamptz NOT NULL DEFAULT now(), ADD n bigint GENERATED ALWAYS AS IDENTITY`},
		"a domain":           {sql: `CREATE DOMAIN short AS text; ALTER TABLE messages ALTER subject TYPE short`},
		"varchar":            {sql: `ALTER TABLE messages ALTER subject TYPE varchar(500)`},
		"an index for a key": {sql: `ALTER TABLE messages DROP CONSTRAINT messages_msg_id_key; CREATE UNIQUE INDEX ON messages (msg_id, stream_id)`},
		"no column":          {sql: `ALTER TABLE messages DROP headers`, want: Layout{Missing: []string{"headers"}}},
		"another type":       {sql: `ALTER TABLE messages ALTER headers TYPE json`, want: Layout{Mistyped: []Mistyped{{"headers", "json", "jsonb"}}}},
		"a demanding column": {sql: `ALTER TABLE messages ADD tenant text NOT NULL`, want: Layout{Demanding: []string{"tenant"}}},
		"ours demands":       {sql: `ALTER TABLE messages ALTER msg_id SET NOT NULL, ALTER stored_at DROP DEFAULT`, want: Layout{Demanding: []string{"msg_id", "stored_at"}}},
		"no primary key":     {sql: `ALTER TABLE messages DROP CONSTRAINT messages_pkey`, want: Layout{NoPrimary: true}},
		"no unique key":      {sql: `ALTER TABLE messages DROP CONSTRAINT messages_msg_id_key`, want: Layout{NoUniqueID: true}},
		"a partial key": {sql: `ALTER TABLE messages DROP CONSTRAINT messages_msg_id_key; CREATE UNIQUE INDEX ON messages (stream_id, msg_id) WHERE seq > 5`,
			want: Layout{NoUniqueID: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t)
			if c.sql != "" {
				d.exec(c.sql)
			}
			got, err := inspect(t, d.url).Layout(t.Context(), "public.messages")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Fits() != cmp.Equal(c.want, Layout{}) {
				t.Errorf("fits is %v", got.Fits())
			}
			// What it calls fitting, the sink can write to.
			if s := d.node("n1").Stream("S"); got.Fits() {
				cur := d.enter(s)
				d.write(s, cur, run(cur, 3))
			}
		})
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	n, err := Sessions(d.config())
	if want := 1 + spareSessions + 1 + askingSessions; err != nil || n != want {
		t.Errorf("%d, want %d: %v", n, want, err)
	}
}
