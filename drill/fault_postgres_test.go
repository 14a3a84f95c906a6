package drill

import (
	"testing"
	"time"
)

func TestPostgresFaults(t *testing.T) {
	t.Parallel()
	const short = 500 * time.Millisecond
	upSite(t).suffer(
		act(t, postgresFaults(), "pg-kill", short),
		act(t, postgresFaults(), "pg-restart", 0),
		act(t, postgresFaults(), longOutageName, short),
		act(t, postgresFaults(), "pg-freeze", short),
		act(t, postgresFaults(), "pg-terminate", short),
		act(t, postgresFaults(), "pg-lock", short),
		act(t, postgresFaults(), "pg-readonly", short),
		act(t, postgresFaults(), "pg-disk-full", short),
		act(t, postgresFaults(), "pg-restore", short),
	)
}
