package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"landfall/message"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for want, codes := range map[class][]string{
		outage: {"08000", "08003", "08006", "08P01", "25006", "25P02", "25P03", "40001", "40P01", "40003", "53000", "53100", "53200", "53300", "53400",
			"55000", "55006", "55P03", "57000", "57014", "57P01", "57P02", "57P03", "57P05", "58000", "58030", "58P01", "XX001", "XX002", ""},
		setup: {"28000", "28P01", "3D000", "3F000", "42501", "42601", "42703", "42804", "42883", "42P01", "42P10", "42P17", "0A000"},
		data: {"22000", "22001", "22003", "22007", "22021", "22P02", "22P05", "23000", "23502", "23503", "23505", "23514", "23P01",
			"44000", "54000", "54001", "P0001", "P0002", "UE001", "ZZ999", "XX000"},
	} {
		for _, code := range codes {
			err := error(&pgconn.PgError{Code: code})
			for range 2 {
				if got := classify(err); got != want {
					t.Errorf("%q is %d, want %d", code, got, want)
				}
				err = fmt.Errorf("somewhere: %w", err)
			}
		}
	}
	for _, err := range []error{io.ErrUnexpectedEOF, context.DeadlineExceeded, errors.New("anything"), message.ErrMoved} {
		if got := classify(err); got != outage {
			t.Errorf("%v is %d", err, got)
		}
	}
	// Once it is known to be the set-up, what Postgres said does not matter.
	if got := classify(&message.SetupError{Err: &pgconn.PgError{Code: "23514"}}); got != setup {
		t.Errorf("a set-up's fault is %d", got)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code    string
		setup   bool
		tooSlow bool
		advice  string
	}{
		{"57014", false, true, ""},
		{"57P01", false, false, ""},
		{"23505", false, false, ""},
		{"28P01", true, false, "password in postgres.url"},
		{"28000", true, false, "password in postgres.url"},
		{"3D000", true, false, "create the database"},
		{"3F000", true, false, "app migrate up"},
		{"42P01", true, false, "app migrate up"},
		{"42501", true, false, "grant"},
		{"42703", true, false, "messages_table"},
		{"0A000", true, false, ""},
	} {
		cause := &pgconn.PgError{Code: c.code, Message: "what Postgres said"}
		err := explain("store", fmt.Errorf("deep down: %w", cause))
		var set *message.SetupError
		if errors.As(err, &set) != c.setup || errors.Is(err, message.ErrTooSlow) != c.tooSlow || !errors.Is(err, cause) {
			t.Errorf("%s: %v", c.code, err)
		}
		if c.setup {
			wantSetup(t, err, "store", "what Postgres said", c.advice)
		}
	}
	// An explanation is not explained away.
	first := &message.SetupError{Reason: "first", Advice: "do this", Err: &pgconn.PgError{Code: "42501"}}
	if err := explain("store", first); !errors.Is(err, first) {
		t.Error(err)
	} else {
		var set *message.SetupError
		if !errors.As(err, &set) || set != first {
			t.Error(err)
		}
	}
}
