package node

import (
	"log/slog"
	"testing"
	"time"
)

func TestTimersFor(t *testing.T) {
	t.Parallel()
	quick, widened := timersFor(time.Second, time.Millisecond)
	want := timers{
		minElection: 800 * time.Millisecond, maxElection: 1600 * time.Millisecond, heartbeat: 200 * time.Millisecond,
		lostQuorum: 2 * time.Second, checkQuorum: 2 * time.Second, signalQuorum: 4 * time.Second,
	}
	if quick != want || widened {
		t.Errorf("on a quick disk: %+v, widened %v", quick, widened)
	}
	slow, widened := timersFor(time.Second, 200*time.Millisecond)
	if slow.minElection != 2*time.Second || slow.maxElection != 4*time.Second || slow.heartbeat != 500*time.Millisecond || !widened {
		t.Errorf("on a slow disk: %+v, widened %v", slow, widened)
	}
}

// The variables have, in the server that go.mod names, the names and values
// known here. This fails on the day an upgrade changes them. (How fast
// elections then are, TestElectionAfterKill measures.)
func TestTimersAreSet(t *testing.T) {
	t.Parallel()
	setElectionTimers(time.Second, 0, slog.New(slog.DiscardHandler))
	got := currentTimers()
	if got.minElection < 800*time.Millisecond || got.minElection >= stockTimers().minElection ||
		got.heartbeat != got.minElection/4 || got.lostQuorum != 10*got.heartbeat {
		t.Errorf("timers are %+v", got)
	}
}

func TestCheckTimersRefusesStrangers(t *testing.T) {
	t.Parallel()
	if err := checkTimers(stockTimers()); err != nil {
		t.Error(err)
	}
	vanished := stockTimers()
	vanished.heartbeat = 0 // as a symbol that is gone reads
	if checkTimers(vanished) == nil || checkTimers(timers{}) == nil {
		t.Error("unknown timers are accepted")
	}
}
