package cluster

import (
	"strings"
	"testing"
)

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, place, wrong string }{
		{url: "postgres://app:app@127.0.0.1:55432/app", place: "127.0.0.1:55432/app"},
		{url: "postgresql://u@h1:5432,h2/db?target_session_attrs=read-write", place: "h1:5432,h2/db"},
		{url: "postgres://u:p%40%2F@[::1]:5432/my%20db", place: "::1:5432/my db"},
		{url: "postgres://u:p:q?r#s@h/db", place: "h/db"},
		{url: "postgres://?host=/var/run/postgresql&dbname=app", place: "/var/run/postgresql/app"},
		{url: "postgres://", place: "default host"},
		{url: "host=db port=5433 dbname=app user=u password='a \\'b c'", place: "db:5433/app"},
		{url: " host = db  dbname = app ", place: "db/app"},
		{url: "host=db password=a://b", place: "db"},
		{url: "", wrong: "is empty"},
		{url: "   ", wrong: "is empty"},
		{url: "mysql://u:hunter22@h/db", wrong: "postgres://"},
		{url: "postgres//u:hunter22@h/db", wrong: "neither a URL"},
		{url: "hunter22", wrong: "neither a URL"},
		{url: "postgres://u:hunter/22@h/db", wrong: "after a /"},
		{url: "postgres://u:hun@ter22@h/db", wrong: "second @"},
		{url: "postgres://u:hunter%zz@h/db", wrong: "hexadecimal"},
		{url: "postgres://h:0/db", wrong: "port"},
		{url: "postgres://h:5432x/db", wrong: "port"},
		{url: "postgres://h:1,h:2,h:99999/db", wrong: "port"},
		{url: "postgres://[::1/db", wrong: "brackets"},
		{url: "postgres://h/db?sslmode", wrong: "name=value"},
		{url: "postgres://h/db?sslmode=require&&", wrong: "name=value"},
		{url: "postgres://h/my db", wrong: "%20"},
		{url: " postgres://h/db", wrong: "postgres://"},
		{url: "host=a,b port=1,2,3", wrong: "another number"},
		{url: "host=h password='hunter22", wrong: "quote"},
		{url: "host=h hunter22", wrong: "neither a URL"},
		{url: "postgres://h/db\npassword: hunter22", wrong: "line break"},
	} {
		_, err := parseDatabase(c.url)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
		case c.wrong == "" && Postgres{URL: c.url}.Place() != c.place:
			t.Errorf("%s: is at %s, want %s", c.url, Postgres{URL: c.url}.Place(), c.place)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: got %v, want an error with %q", c.url, err, c.wrong)
		case err != nil && strings.Contains(err.Error(), "hunter"):
			t.Errorf("%s: the error leaks: %v", c.url, err)
		}
	}
}
