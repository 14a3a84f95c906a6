package drill

// These tests run a binary that they build, which the go command does not see:
// it would show results of an older binary from its cache. With the node's
// code imported, a change in any of its rooms makes them run again.
import _ "landfall/process" //nolint:depguard // only to be rebuilt with it
