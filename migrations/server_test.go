package migrations

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/pressly/goose/v3/database"

	"landfall/pgserver/pgtest"
)

func TestJudgeServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version  int
		encoding string
		fits     bool
	}{
		{120022, "UTF8", false},
		{130000, "UTF8", true},
		{180001, "UTF8", true},
		{150018, "SQL_ASCII", false},
		{150018, "LATIN1", false},
	} {
		err := judgeServer(c.version, c.encoding)
		var setup *SetupError
		if fits := err == nil; fits != c.fits || (!fits && !errors.As(err, &setup)) {
			t.Errorf("%d %s: %v", c.version, c.encoding, err)
		}
	}
}

// TestVersionTableIsGooses lets goose make its table beside ours and compares:
// a newer goose may want another form.
func TestVersionTableIsGooses(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	if err := Up(t.Context(), url, Options{}); err != nil {
		t.Fatal(err)
	}
	db, err := open(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := database.NewStore(database.DialectPostgres, "public.goose_db_version")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CreateVersionTable(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	form := func(db *sql.DB, schema string) (s string) {
		err := db.QueryRowContext(t.Context(), `SELECT string_agg(concat_ws(' ', column_name, data_type, is_nullable,
			column_default, is_identity, identity_generation), E'\n' ORDER BY ordinal_position)
			FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'goose_db_version'`, schema).Scan(&s)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if ours, gooses := form(db, "landfall"), form(db, "public"); ours != gooses {
		t.Errorf("ours\n%s\ngoose's\n%s", ours, gooses)
	}
}
