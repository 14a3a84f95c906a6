package drill

import (
	"context"
	"testing"
	"time"

	"landfall/pgserver/pgtest"
)

// Postgres is away for as long as two thirds of the load take. Every message is
// acknowledged meanwhile, at the usual pace.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	r := upRig(t, Options{DatabaseURL: server.URL()})
	ledger := newLedger(t)
	r.load(ledger, 6000, 200, func(ctx context.Context) error {
		if err := settled(ctx, ledger, 1000); err != nil {
			return err
		}
		if err := server.Kill(); err != nil {
			return err
		}
		went := time.Now()
		if err := settled(ctx, ledger, 5000); err != nil {
			return err
		}
		t.Logf("Postgres was away for %s", time.Since(went).Round(time.Second))
		return server.Restart(ctx)
	})
	if v := r.proves(ledger); v.LongestGap > 5*time.Second {
		t.Errorf("without Postgres nothing was acknowledged for %s", v.LongestGap)
	}
}

// The nodes start before Postgres does: they take messages, and store them
// when it is there.
func TestPostgresAbsentAtStart(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	if err := server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	r := upRig(t, Options{DatabaseURL: server.URL()})
	ledger := newLedger(t)
	r.load(ledger, 500, 500, func(context.Context) error { return nil })
	if err := server.Restart(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	r.proves(ledger)
}
