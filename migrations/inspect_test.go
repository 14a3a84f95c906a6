package migrations_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"landfall/migrations"
	"landfall/pgserver/pgtest"
)

func look(t *testing.T, url string, o migrations.Options) migrations.Outlook {
	t.Helper()
	l, err := migrations.Look(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What Look foresees is what Up then meets with, as a role without rights and
// with each right that Look names.
func TestLookForeseesUp(t *testing.T) {
	t.Parallel()
	database := pgtest.Database(t)
	conn := connect(t, database)
	name := get(t, conn, `SELECT current_database()`)
	role := name + "_user"
	exec(t, conn, `CREATE USER `+role+` PASSWORD 'secret'; REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	t.Cleanup(func() { execLater(t, database, `DROP OWNED BY `+role+` CASCADE; DROP USER `+role) })
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret")
	as := u.String()

	l := look(t, as, migrations.Options{})
	want := []string{"GRANT CREATE ON DATABASE " + name + " TO " + role, "GRANT USAGE, CREATE ON SCHEMA public TO " + role}
	if diff := cmp.Diff(want, l.Grants); diff != "" || l.Current() || l.NoSchema || len(l.Owners) > 0 {
		t.Errorf("%+v: %s", l, diff)
	}
	// Looking has changed nothing.
	if got := get(t, conn, `SELECT to_regnamespace('landfall')::text`); got != "NULL" {
		t.Error("there is a schema", got)
	}
	for _, grant := range l.Grants {
		if err := migrations.Up(t.Context(), as, migrations.Options{}); err == nil {
			t.Errorf("Up does without %s", grant)
		}
		exec(t, conn, grant)
	}
	if l := look(t, as, migrations.Options{}); len(l.Grants)+len(l.Owners) > 0 {
		t.Errorf("%+v", l)
	}
	up(t, as, migrations.Options{})
	if l := look(t, as, migrations.Options{}); !l.Current() || l.Orphan {
		t.Errorf("%+v", l)
	}
	if l := look(t, as, migrations.Options{MessagesTable: "elsewhere.inbox"}); !l.NoSchema || l.Current() {
		t.Errorf("%+v", l)
	}
}

// Only its owner can change a table.
func TestLookForeseesAnotherOwner(t *testing.T) {
	t.Parallel()
	database := pgtest.Database(t)
	up(t, database, migrations.Options{})
	conn := connect(t, database)
	role := get(t, conn, `SELECT current_database()`) + "_user"
	exec(t, conn, `CREATE USER `+role+` PASSWORD 'secret'; GRANT ALL ON SCHEMA landfall, public TO `+role+`;
		GRANT ALL ON ALL TABLES IN SCHEMA landfall TO `+role+`; DELETE FROM landfall.goose_db_version WHERE version_id > 0`)
	t.Cleanup(func() { execLater(t, database, `DROP OWNED BY `+role+` CASCADE; DROP USER `+role) })
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret")
	if l := look(t, u.String(), migrations.Options{}); len(l.Owners) != 1 || l.Owners[0] != "app" || len(l.Grants) > 0 {
		t.Errorf("%+v", l)
	}
	exec(t, conn, `REVOKE SELECT ON landfall.goose_db_version FROM `+role)
	_, err = migrations.Look(t.Context(), u.String(), migrations.Options{})
	var setup *migrations.SetupError
	if !errors.As(err, &setup) || !strings.Contains(setup.Problem, "goose_db_version") {
		t.Errorf("got %v", err)
	}
}

func TestLookFindsStrangers(t *testing.T) {
	t.Parallel()
	foreign := pgtest.Database(t)
	exec(t, connect(t, foreign), `CREATE TABLE messages (id int)`)
	if l := look(t, foreign, migrations.Options{}); l.Messages != "foreign" || l.Orphan {
		t.Errorf("%+v", l)
	}
	orphan := pgtest.Database(t)
	up(t, orphan, migrations.Options{})
	conn := connect(t, orphan)
	exec(t, conn, `INSERT INTO messages (stream_id, seq, subject, content, published_at) VALUES (1, 1, '', '', now())`)
	if l := look(t, orphan, migrations.Options{}); l.Orphan {
		t.Errorf("%+v", l)
	}
	exec(t, conn, `DROP SCHEMA landfall CASCADE`)
	if l := look(t, pgtest.Pooler(t, orphan), migrations.Options{}); !l.Orphan || l.Current() {
		t.Errorf("%+v", l)
	}
}

// execLater runs statements when the test has ended, on a connection of its own.
func execLater(t *testing.T, url, statements string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statements); err != nil {
		t.Error(err)
	}
}
