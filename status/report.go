package status

import (
	"time"

	"landfall/message"
)

// Report is what a node tells the others about itself, over core NATS: it is
// news, worth nothing once it is old, and never stored. Times that others
// compare with their own clocks are told as durations.
type Report struct {
	Node            string    `json:"node"`
	Version         string    `json:"version"`
	Time            time.Time `json:"time"`           // by the sender's clock
	Uptime          float64   `json:"uptime_seconds"` // of the sender's process
	PostgresOK      bool      `json:"postgres_ok"`    // it reaches Postgres
	PostgresFor     float64   `json:"postgres_for_seconds"`
	PostgresUnknown bool      `json:"postgres_unknown,omitempty"` // it has not tried yet

	Unready    string   `json:"unready,omitempty"` // why it cannot acknowledge; "": it can
	MetaLeader string   `json:"meta_leader,omitempty"`
	Missing    []string `json:"missing,omitempty"` // nodes it has no connection to

	Memory    int64   `json:"memory_bytes"` // resident
	Store     uint64  `json:"store_bytes"`  // on disk
	FsyncP99  float64 `json:"fsync_p99_seconds"`
	Elections uint64  `json:"elections"` // heard of since it is up

	Streams []StreamReport `json:"streams"`
	Events  []Event        `json:"events,omitempty"` // the latest of its own
}

// StreamReport is what a node says of a stream.
type StreamReport struct {
	Name     string  `json:"name"`
	Held     bool    `json:"held"`   // it keeps a replica; the figures are that one's
	Leads    bool    `json:"leads"`  // it leads the stream
	Stores   bool    `json:"stores"` // its sink is the one to store
	Leader   string  `json:"leader,omitempty"`
	First    uint64  `json:"first_seq"`
	Last     uint64  `json:"last_seq"`
	Messages uint64  `json:"messages"`
	Bytes    uint64  `json:"bytes"`
	Window   float64 `json:"window_seconds"` // age of the oldest message held
	Sink     *Sunk   `json:"sink,omitempty"` // of the node that stores
}

// SinkState is what a sink that is to store does.
type SinkState string

// What it does.
const (
	SinkStarting SinkState = "starting"
	SinkStoring  SinkState = "storing"
	SinkOutage   SinkState = "failing" // it tries again and again
	SinkIsPaused SinkState = "paused"  // a person has to mend the set-up
)

// Sunk is what a node says of the sink that stores there.
type Sunk struct {
	State       SinkState       `json:"state"`
	For         float64         `json:"for_seconds"`
	Reason      string          `json:"reason,omitempty"`
	Advice      string          `json:"advice,omitempty"`
	Known       bool            `json:"known"` // the cursor is
	Cursor      uint64          `json:"cursor"`
	Incarnation string          `json:"incarnation,omitempty"`
	Still       float64         `json:"still_seconds"`      // since anything was stored, or there was nothing to store
	CommitP99   float64         `json:"commit_p99_seconds"` // of the last seconds; 0: none
	Counts      *message.Counts `json:"counts,omitempty"`
}

// stream is what the report says of a stream.
func (r *Report) stream(name string) *StreamReport {
	for i := range r.Streams {
		if r.Streams[i].Name == name {
			return &r.Streams[i]
		}
	}
	return nil
}
