package drill

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	t.Parallel()
	fresh := map[string]Vitals{"n1": {Memory: 60 << 20, Files: 60, Goroutines: 300}, "n2": {Memory: 60 << 20, Files: 50, Goroutines: 200}}
	for name, tc := range map[string]struct {
		now  Vitals
		says string
	}{
		"as before":          {Vitals{Memory: 70 << 20, Files: 50, Goroutines: 200}, ""},
		"as the leader took": {Vitals{Memory: 900 << 20, Files: 60, Goroutines: 300}, ""},
		"just within":        {Vitals{Memory: 1 << 30, Files: 115, Goroutines: 415}, ""},
		"goroutines":         {Vitals{Files: 50, Goroutines: 416}, "416 goroutines"},
		"files":              {Vitals{Files: 116, Goroutines: 200}, "116 open files"},
		"memory":             {Vitals{Memory: 1<<30 + 1<<20, Files: 50, Goroutines: 200}, "1025 MiB"},
	} {
		found := Growth(fresh, map[string]Vitals{"n1": fresh["n1"], "n2": tc.now})
		if (len(found) == 0) != (tc.says == "") || !strings.Contains(strings.Join(found, ""), tc.says) || len(found) > 1 {
			t.Errorf("%s: %q", name, found)
		}
	}
}

// A cluster at rest takes what it takes, before a load and after it.
func TestRest(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{})
	ctx := within(t, 90*time.Second)
	fresh, err := r.Rest(ctx)
	r.must(err)
	ledger := newLedger(t)
	r.load(ledger, 2000, 1000, func(context.Context) error { return nil })
	r.proves(ledger)
	now, err := r.Rest(ctx)
	r.must(err)
	for _, name := range r.nodeNames() {
		f, n := fresh[name], now[name]
		t.Logf("%s: fresh %s; now %s", name, f, n)
		if f.Goroutines < 20 || n.Age <= f.Age {
			t.Errorf("%s: %+v and then %+v", name, f, n)
		}
		if runtime.GOOS == "linux" && (f.Files < 10 || f.Memory < 10<<20) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for _, found := range Growth(fresh, now) {
		t.Error(found)
	}
}
