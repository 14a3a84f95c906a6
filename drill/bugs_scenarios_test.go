package drill

import "time"

// seeded is a bug and the scenario that is to catch it.
type seeded struct{ bug, scenario string }

// seededBugs are all patches in bugs/, in the order of the promise that they
// break: what is acknowledged, what is stored, what is trimmed, what a stream
// is, what bad data is, what becomes of tables of the users' own.
func seededBugs() []seeded {
	return []seeded{
		{"sync-interval", "power cut"},
		{"ok-on-timeout", "killed leader"},
		{"line-before-ack", "killed leader"},
		{"fresh-id-on-retry", "killed leader"},

		{"cursor-apart", "unanswered commit"},
		{"no-reset", "killed sink"},
		{"from-consumer", "killed sink"},
		{"no-fence", "frozen sink"},
		{"fence-unlocked", "frozen sink"},
		{"full-batch-drops-one", "backlog"},
		{"gap-skipped", "purged by hand"},
		{"unique-per-partition", "late repeats"},

		{"discard-old", "full stream"},
		{"max-age", "short window"},
		{"trim-above-cursor", "trimmed backlog"},
		{"trim-at-zero", "backlog"},

		{"conflicts-ignored", "made anew"},
		{"incarnation-ignored", "made anew"},
		{"tail-cut-ignored", "lost tail"},
		{"tail-cut-goes-on-at-cursor", "lost tail"},

		{"outage-is-bad-data", "locked table"},
		{"bad-row-forgotten", "bad rows"},
		{"bad-row-sinks-batch", "bad rows"},
		{"bad-row-drops-neighbour", "bad rows"},
		{"any-unique-is-duplicate", "bad rows of another key"},

		{"own-cursor-first", "killed sink"},
		{"own-bad-row-forgotten", "bad rows"},
		{"upsert-keeps-first", "bad rows"},
	}
}

// scenario is a short drill whose faults are chosen instead of drawn. What
// chance decides within them follows from the seed.
type scenario struct {
	name     string
	rate     float64 // messages a second; 0: a thousand
	maxBytes string  // "": as every drill
	keys     string  // of the stream; "": as every drill
	keyless  bool    // the messages table loses its two keys, so that nothing but the fence keeps rows from being there twice
	unique   bool    // bad messages are refused as a unique key of the user's would refuse them
	rounds   int     // how often the steps happen, with a recovery after each time; 0: once
	steps    []step
}

// step is a fault of a round.
type step struct {
	fault string
	after time.Duration // from the beginning of the round
	hold  time.Duration
}

func scenarios() []scenario {
	return []scenario{
		{name: "killed leader", rounds: 4, steps: []step{{"kill-leader", 500 * time.Millisecond, time.Second}}},
		{name: "killed sink", rounds: 2, steps: []step{
			{"pg-lock", 500 * time.Millisecond, 3 * time.Second},
			{"kill-storing", 2 * time.Second, time.Second},
		}},
		// Which stream it is whose COMMIT is the next, chance decides.
		{name: "unanswered commit", rounds: 6, steps: []step{{"commit-unanswered", time.Second, 0}}},
		{
			name: "frozen sink", rounds: 5, keyless: true, keys: "replay_window: 30m, duplicate_window: 2m",
			// On a slow way a sink is nearly always in the middle of a transaction.
			steps: []step{{"wire-slow", 0, 3 * time.Second}, {"freeze-storing", time.Second, 8 * time.Second}},
		},
		{name: "power cut", rounds: 2, steps: []step{
			{"pg-lock", 0, 8 * time.Second},
			{"power-cut-all", 3 * time.Second, time.Second},
		}},
		// A sink may have 20,000 messages in memory, and stores those whatever
		// becomes of the stream: there must be more of them, here and below.
		{name: "backlog", rate: 2000, steps: []step{{"pg-lock", time.Second, 20 * time.Second}}},
		{name: "purged by hand", rounds: 2, steps: []step{{"message-removed", time.Second, 0}}},
		{name: "late repeats", rounds: 2, steps: []step{{"cut-client-late", 0, time.Second}}},
		{name: "full stream", maxBytes: "2MiB", rounds: 2, steps: []step{{"pg-lock", time.Second, 8 * time.Second}}},
		{
			name: "short window", keys: "replay_window: 2s, duplicate_window: 1s", rounds: 2,
			steps: []step{{"pg-lock", time.Second, 6 * time.Second}},
		},
		{
			name: "trimmed backlog", maxBytes: "16MiB", keys: "replay_window: 1s, duplicate_window: 1s", rate: 2000,
			steps: []step{{"pg-lock", 2 * time.Second, 22 * time.Second}},
		},
		{name: "made anew", steps: []step{{"wipe-all", 2 * time.Second, time.Second}}},
		{name: "lost tail", steps: []step{{"tail-cut", 2 * time.Second, time.Second}}},
		{name: "locked table", rate: 50, steps: []step{{"pg-lock", time.Second, 20 * time.Second}}},
		{name: "bad rows", rate: 1500, rounds: 2, steps: []step{{"pg-lock", time.Second, 2 * time.Second}}},
		{name: "bad rows of another key", unique: true, steps: []step{{"pg-lock", time.Second, 2 * time.Second}}},
	}
}
