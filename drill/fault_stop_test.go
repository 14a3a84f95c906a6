package drill

import (
	"testing"
	"time"
)

func TestMostFreezesAreShort(t *testing.T) {
	t.Parallel()
	f := stopFaults()[0]
	short := 0
	for seed := range uint64(1000) {
		a := Act{Fault: f, Hold: f.Hold[1], Seed: seed}
		hold := mostlyShort(a)
		if hold < f.Hold[0] || hold > f.Hold[1] {
			t.Errorf("seed %d: %s", seed, hold)
		}
		if hold < 5*time.Second {
			short++
		}
		if mostlyShort(a) != hold {
			t.Errorf("seed %d is not the same again", seed)
		}
	}
	if short < 450 {
		t.Errorf("only %d of 1000 are short", short)
	}
}
