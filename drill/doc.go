// Package drill holds Landfall to its word. It runs real node processes on
// loopback ports in a temporary directory, publishes to them through HTTP and
// the NATS client port, kills them, and keeps a ledger of what was offered and
// what was promised. In the end a checker reads the tables by SQL, beside
// Landfall's own code, and holds the rows against the ledger: what was
// acknowledged must be there exactly once, with its own body, and nothing else
// may be.
//
// The same parts serve `app demo` and the end-to-end tests: Cluster (the
// processes), Load and its Doors (the publishers), Ledger, Check and Verdict.
package drill
