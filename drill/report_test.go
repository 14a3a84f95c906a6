package drill

import (
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for n := 100; n > 0; n-- {
		hundred = append(hundred, time.Duration(n))
	}
	for _, c := range []struct {
		of   []time.Duration
		want Spread
	}{
		{nil, Spread{}},
		{[]time.Duration{7}, Spread{7, 7, 7}},
		{[]time.Duration{9, 1}, Spread{1, 9, 9}},
		{[]time.Duration{3, 1, 2}, Spread{2, 3, 3}},
		{hundred, Spread{50, 99, 100}},
	} {
		if got := spreadOf(c.of); got != c.want {
			t.Errorf("%v: %+v, not %+v", c.of, got, c.want)
		}
	}
}

// A report counts by kind, keeps what was found, and ends with the proof.
func TestReport(t *testing.T) {
	t.Parallel()
	one, two := Fault{Name: "one"}, Fault{Name: "two"}
	r := newReport(SoakOptions{Seed: 7, Version: "v1", Rate: 1000})
	r.Kinds = []*KindReport{{Name: "one"}, {Name: "two"}, {Name: "never"}}
	r.LeftOut = []LeftOut{{"net", "there is no net"}, {"disk", "there is no disk"}, {"cable", "there is no net"}}
	alone := Round{1, []Act{{Fault: one}}}
	both := Round{2, []Act{{Fault: one}, {Fault: two}}}
	for _, round := range []Round{alone, both} {
		for _, a := range round.Acts {
			r.happens(a)
		}
	}
	r.enter(alone, time.Second, 2*time.Second, 3*time.Second)
	r.enter(both, 4*time.Second, 9*time.Second, 9*time.Second)
	r.failed(both.Acts[1], errNoNode)
	r.Verdict = Verdict{Offered: 1000, Acked: 999, Stored: 999, Unknown: 1}
	k := r.kind("one")
	if k.Times != 2 || k.Alone != 1 || k.NoAck.Max != 2*time.Second || k.NoRow.Max != 3*time.Second || k.Recovery.Max != 4*time.Second {
		t.Errorf("%+v", k)
	}
	var out strings.Builder
	r.Print(&out)
	text := out.String()
	for _, part := range []string{"seed 7", "3 faults in 2 rounds", "could not be had: two, 1 of 1 times", "no time for: never",
		"left out, since there is no net: net, cable\n", "left out, since there is no disk: disk\n", "unknown 1 of 1000 (0.100 %)"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	if !strings.HasSuffix(text, r.Verdict.Proof()+"\n") {
		t.Errorf("the proof is not the last line of\n%s", text)
	}
	if !r.Holds() {
		t.Error("it does not hold")
	}
	if r.Found = append(r.Found, "something"); r.Holds() {
		t.Error("it holds, whatever was found")
	}
}
