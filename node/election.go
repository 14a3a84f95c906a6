package node

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
	_ "unsafe" // for go:linkname
)

// A leader that dies is missed only after the Raft election timeout. The
// server's own, 4 to 9 seconds, are variables without an option, so they are
// set here by name, before the first server of this process starts. Should a
// later server rename them or give them other values, their names here read
// as something else than the values known below; then nothing is written and
// the stock timers stay.
//
// These are the package's only mutable variables, and they are the server's.

//go:linkname raftMinElection github.com/nats-io/nats-server/v2/server.minElectionTimeout
var raftMinElection time.Duration

//go:linkname raftMaxElection github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var raftMaxElection time.Duration

//go:linkname raftHeartbeat github.com/nats-io/nats-server/v2/server.hbInterval
var raftHeartbeat time.Duration

//go:linkname raftLostQuorum github.com/nats-io/nats-server/v2/server.lostQuorumInterval
var raftLostQuorum time.Duration

//go:linkname raftLostQuorumCheck github.com/nats-io/nats-server/v2/server.lostQuorumCheck
var raftLostQuorumCheck time.Duration

//go:linkname raftLostQuorumSignal github.com/nats-io/nats-server/v2/server.lostQuorumSignal
var raftLostQuorumSignal time.Duration

// timersOnce guards the writes: running servers read the variables without a
// lock, so only the first server of a process may set them.
var timersOnce sync.Once

// timers are the Raft timers of one process.
type timers struct {
	minElection, maxElection time.Duration
	heartbeat                time.Duration
	lostQuorum, checkQuorum  time.Duration
	signalQuorum             time.Duration
}

// stockTimers are those of the server version we build against.
func stockTimers() timers {
	return timers{
		minElection:  4 * time.Second,
		maxElection:  9 * time.Second,
		heartbeat:    time.Second,
		lostQuorum:   10 * time.Second,
		checkQuorum:  10 * time.Second,
		signalQuorum: 20 * time.Second,
	}
}

// timersFor derives the timers from election_timeout and from how long the
// disk's slowest fsyncs take: a leader's heartbeats wait behind its fsync, so
// a follower must be ten times as patient. widened tells that the disk, not
// the configuration, decided.
func timersFor(base, slowFsync time.Duration) (t timers, widened bool) {
	least := base * 8 / 10
	if 10*slowFsync > least {
		least, widened = 10*slowFsync, true
	}
	hb := least / 4
	return timers{
		minElection:  least,
		maxElection:  2 * least,
		heartbeat:    hb,
		lostQuorum:   10 * hb, // as in stock, a little more than the longest election
		checkQuorum:  10 * hb,
		signalQuorum: 20 * hb,
	}, widened
}

// currentTimers are those the servers of this process run with.
func currentTimers() timers {
	return timers{
		minElection:  raftMinElection,
		maxElection:  raftMaxElection,
		heartbeat:    raftHeartbeat,
		lostQuorum:   raftLostQuorum,
		checkQuorum:  raftLostQuorumCheck,
		signalQuorum: raftLostQuorumSignal,
	}
}

func (t timers) apply() {
	raftMinElection = t.minElection
	raftMaxElection = t.maxElection
	raftHeartbeat = t.heartbeat
	raftLostQuorum = t.lostQuorum
	raftLostQuorumCheck = t.checkQuorum
	raftLostQuorumSignal = t.signalQuorum
}

// setElectionTimers sets the Raft timers of this process, once. A base of 0
// keeps the stock ones. Nodes started later in the same process share what
// the first one set.
func setElectionTimers(base, slowFsync time.Duration, log *slog.Logger) {
	timersOnce.Do(func() {
		if base == 0 {
			return
		}
		if err := checkTimers(currentTimers()); err != nil {
			log.Warn("elections keep the server's own timers: slower, and otherwise fine", "reason", err)
			return
		}
		t, widened := timersFor(base, slowFsync)
		if widened {
			log.Warn("slow disk: elections wait longer than election_timeout asks for",
				"fsync", slowFsync, "election_min", t.minElection, "election_max", t.maxElection)
		}
		t.apply()
	})
}

// checkTimers refuses variables that are not the ones we know.
func checkTimers(t timers) error {
	if t != stockTimers() {
		return fmt.Errorf("nats-server's timers read %+v, known are %+v", t, stockTimers())
	}
	return nil
}
