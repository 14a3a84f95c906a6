package migrations

import (
	"errors"
	"testing"
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
