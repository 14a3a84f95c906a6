package drill

import (
	"fmt"
	"testing"
	"time"
)

// someFaults take all sorts of things.
func someFaults() []Fault {
	var list []Fault
	for i, takes := range []Takes{
		{Nodes: 1}, {Nodes: 1}, {Nodes: 2}, {Nodes: 3}, {Postgres: true}, {Postgres: true, Stream: true}, {Wire: true},
		{Network: true, Nodes: 1}, {Stream: true}, {Alone: true}, {},
	} {
		list = append(list, Fault{Name: fmt.Sprintf("f%d", i), Takes: takes, Hold: [2]time.Duration{time.Second, 4 * time.Second}})
	}
	return append(list, Fault{Name: longOutageName, Takes: Takes{Postgres: true}})
}

// A plan is its seed's, deals every fault equally often, and never lets two
// have the same.
func TestPlan(t *testing.T) {
	t.Parallel()
	faults := someFaults()
	for seed := range uint64(200) {
		p, again := NewPlan(seed, faults), NewPlan(seed, faults)
		times := make(map[string]int)
		alone := make(map[string]int)
		together, long := 0, 0
		for n := 0; n < 10*len(faults); {
			r := p.Next()
			if a, b := fmt.Sprint(r), fmt.Sprint(again.Next()); a != b {
				t.Fatalf("seed %d: %s and %s", seed, a, b)
			}
			n += len(r.Acts)
			var taken Takes
			var last time.Duration
			for i, a := range r.Acts {
				if i > 0 && !taken.leaves(a.Fault.Takes) {
					t.Fatalf("seed %d: %s cannot be had together", seed, r)
				}
				taken = taken.and(a.Fault.Takes)
				times[a.Fault.Name]++
				if a.Hold == longOutage {
					long++
				} else if a.Hold < a.Fault.Hold[0] || a.Hold > a.Fault.Hold[1] {
					t.Fatalf("seed %d: %s lasts %s", seed, a.Fault.Name, a.Hold)
				}
				if a.After < last {
					t.Fatalf("seed %d: %s out of order", seed, r)
				}
				last = a.After
			}
			switch len(r.Acts) {
			case 1:
				alone[r.Acts[0].Fault.Name]++
			case 0:
				t.Fatalf("seed %d: a round of nothing", seed)
			default:
				together++
			}
		}
		for _, f := range faults {
			if times[f.Name] < 10 || times[f.Name] > 11 || alone[f.Name] < 2 {
				t.Errorf("seed %d: %s %d times, %d alone", seed, f.Name, times[f.Name], alone[f.Name])
			}
		}
		if together < 20 || long != 1 {
			t.Errorf("seed %d: %d rounds of several, %d long outages", seed, together, long)
		}
	}
}

func TestChooseFaults(t *testing.T) {
	t.Parallel()
	all, err := ChooseFaults(nil)
	if err != nil || len(all) != len(faults()) {
		t.Errorf("%d of %d, %v", len(all), len(faults()), err)
	}
	names := make(map[string]bool)
	for _, f := range all {
		if names[f.Name] || f.Name == "" || f.Group == "" || f.About == "" || f.Inflict == nil || f.Hold[1] < f.Hold[0] {
			t.Errorf("fault %q is not complete, or there twice: %+v", f.Name, f)
		}
		names[f.Name] = true
	}
	if _, err := ChooseFaults([]string{"no such thing"}); err == nil {
		t.Error("a fault that there is not was chosen")
	}
}
