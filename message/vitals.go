package message

import "time"

// Vitals are how a node's embedded server is doing, by its own account.
// Counters count from its start.
type Vitals struct {
	MetaLeader string   // node that leads the cluster as a whole; "": none, as far as is known here
	Missing    []string // nodes without a route to this one
	Replicas   []Replica

	Memory        int64         // resident, of the process, bytes
	Store         uint64        // on disk, bytes
	FsyncP99      time.Duration // of one small fsync a second in the data directory; 0: none yet
	Connections   int
	Routes        int // nodes that this one has a route to
	Subscriptions uint32
	SlowConsumers int64

	ReceivedMessages, SentMessages int64
	ReceivedBytes, SentBytes       int64
	APIRequests, APIErrors         uint64 // to JetStream
}

// Replica is a stream as the node that keeps it has it.
type Replica struct {
	Stream      string
	Held        bool   // this node keeps one; the figures are its own
	Leads       bool   // this node leads the stream
	Stores      bool   // this node leads the consumer, so that its sink is the one to store
	Leader      string // node that leads the stream, as far as is known here; "": none
	First, Last uint64 // sequences
	Messages    uint64
	Bytes       uint64
	FirstTime   time.Time // of the oldest message held; zero: there is none
}
