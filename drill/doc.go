// Package drill holds Landfall to its word. It runs real node processes in a
// temporary directory, publishes to them through HTTP and the NATS client
// port, breaks them and what lies around them, and keeps a ledger of what was
// offered and what was promised. In the end a checker reads the tables by SQL,
// beside Landfall's own code, and holds the rows against the ledger: what was
// acknowledged must be there exactly once, with its own body, in its place,
// and nothing else may be.
//
// The same parts serve `app demo`, `app drill` and the end-to-end tests:
//
//   - Cluster: the processes, where they run (Machines, with a network of their
//     own where root is at hand) and what they keep (volumes).
//   - Changes: a second stream, which fills a table of the drill's own under
//     mode upsert (changes.go); CheckChanges judges it.
//   - Load, its Doors and its Gate: the publishers. Ledger: a file for each of
//     them. Check and Verdict: the judgement; Replicas and Growth look at what
//     no table shows.
//   - Fault: one kind of fault; fault_*.go has them by group. A Site is all
//     that they work on. Plan deals them from a seed, in rounds of Acts.
//   - Soak: `app drill`. It builds a site, lets one round after another happen
//     under load, measures each recovery, and writes a Report.
//   - Demo: `app demo`, one kill -9 told as a story.
//
// pgproxy is a way to Postgres that misbehaves where it is told to, and volume
// a disk that can be full, stalled, or without power; neither knows Landfall.
// bugs has patches that break Landfall on purpose: the checker has to notice
// each of them.
package drill
