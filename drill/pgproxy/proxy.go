// Package pgproxy stands between a program and its Postgres and can be told to
// misbehave, at points that it knows because it reads the protocol: when COMMIT
// is sent, when its answer comes, in the middle of a COPY.
package pgproxy

// Proxy is one way to a Postgres.
type Proxy struct{}
