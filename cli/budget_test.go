package cli

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"landfall/cluster"
)

// The budget never promises more than fits: what is kept when the outage
// begins and what arrives while it lasts stay within max_bytes.
func TestOutageBudgetFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := cluster.Stream{
			MaxBytes:     rapid.Int64Range(1<<20, 1<<50).Draw(t, "max_bytes"),
			ReplayWindow: time.Duration(rapid.Int64Range(0, int64(8760*time.Hour)).Draw(t, "replay_window")),
		}
		rate := rapid.IntRange(1, 1_000_000).Draw(t, "rate")
		lasts := outageBudget(s, rate)

		perSecond := float64(rate) * (budgetBody + budgetOverhead)
		arriving := perSecond * lasts.Seconds()
		kept := min(perSecond*s.ReplayWindow.Seconds(), trimAbove*float64(s.MaxBytes))
		if total := kept + arriving; total > float64(s.MaxBytes)*1.000001 {
			t.Fatalf("lasts %v: %.0f of %d bytes", lasts, total, s.MaxBytes)
		}
		if lasts == math.MaxInt64 {
			return // for centuries
		}
		if least := (1 - trimAbove) * float64(s.MaxBytes); arriving < least*0.999-perSecond {
			t.Fatalf("lasts %v: only %.0f bytes arrive, %.0f are always free", lasts, arriving, least)
		}
	})
}

func TestLocalHTTP(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"":            "n1.example:8080",
		"0.0.0.0":     "127.0.0.1:8080",
		"::":          "[::1]:8080",
		"192.168.1.2": "192.168.1.2:8080",
		"localhost":   "localhost:8080",
	} {
		if got := localHTTP(cluster.Node{HTTP: "n1.example:8080", Listen: listen}); got != want {
			t.Errorf("listen %q: %s, want %s", listen, got, want)
		}
	}
}
