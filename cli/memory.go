package cli

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is how much a node's heap may grow between two collections,
// instead of Go's 100. A node makes much garbage beside a small heap and
// would spend a quarter to a third of its CPU time on collecting it. Measured
// in turns (docs/performance.md): a backlog drains 1.1 times as fast, NDJSON
// goes in 1.1 times as fast; a loaded node takes 1.3 times the memory. 400
// gives little more speed for much more memory.
const gcPercent = 200

// memoryShare is how much of what its control group (a container, a service
// with MemoryMax) allows a node's heap may take before collections become more
// frequent. The rest is for what is not Go's.
const memoryShare = 0.9

// settleMemory sets how a node uses memory, as far as the environment (GOGC,
// GOMEMLIMIT) does not say it.
func settleMemory(log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if err != nil {
		log.Debug("no memory limit is known", "error", err)
		return
	}
	log.Debug("memory", "limit", limit)
}
