package status

import "time"

// View is what one node knows of the cluster: what the page shows, `app
// status` prints and /v1/status answers. What is not known is left out.
type View struct {
	Cluster string    `json:"cluster"`
	Node    string    `json:"node"` // that tells it
	Time    time.Time `json:"time"`
	Verdict Verdict   `json:"verdict"`

	Acknowledged *uint64 `json:"acknowledged,omitempty"` // messages that the streams ever had
	Stored       *uint64 `json:"stored,omitempty"`       // of them, those up to the cursors
	InFlight     *uint64 `json:"in_flight,omitempty"`

	Postgres PostgresView `json:"postgres"`
	Nodes    []NodeView   `json:"nodes"`
	Streams  []StreamView `json:"streams"`
	Events   []Event      `json:"events"` // the latest first
}

// Level is how bad things are.
type Level string

// The levels, best first.
const (
	Green Level = "green"
	Amber Level = "amber"
	Red   Level = "red"
)

// Verdict is the state of the cluster in words.
type Verdict struct {
	Level       Level     `json:"level"`
	Text        string    `json:"text"`
	NeedsPerson bool      `json:"needs_person"` // it does not mend itself
	Problems    []Problem `json:"problems"`     // the worst first
}

// Problem is something that is in the messages' way, or may come to be.
type Problem struct {
	Level       Level  `json:"level"`
	Text        string `json:"text"`
	Advice      string `json:"advice,omitempty"`
	NeedsPerson bool   `json:"needs_person"`
}

// PostgresView is who reaches Postgres.
type PostgresView struct {
	State   string   `json:"state"` // up, partly, down; unknown: nobody has tried yet
	For     float64  `json:"for_seconds"`
	Reached []string `json:"reached_from"`
	Missed  []string `json:"not_reached_from"`
}

// NodeState is whether a node is there.
type NodeState string

// What a node may be.
const (
	NodeUp      NodeState = "up"
	NodeUnready NodeState = "unready" // it answers, and cannot acknowledge
	NodeDown    NodeState = "down"
	NodeUnseen  NodeState = "unseen" // not heard of since the node that tells is up
)

// NodeView is one node.
type NodeView struct {
	Name      string    `json:"name"`
	State     NodeState `json:"state"`
	For       float64   `json:"for_seconds"` // in that state, as far as is known here
	Reason    string    `json:"reason,omitempty"`
	Page      string    `json:"page"`  // of its own
	Leads     []string  `json:"leads"` // streams, and "the cluster"
	Stores    []string  `json:"stores"`
	Version   string    `json:"version,omitempty"`
	Uptime    float64   `json:"uptime_seconds,omitempty"`
	Memory    int64     `json:"memory_bytes,omitempty"`
	Store     uint64    `json:"store_bytes,omitempty"`
	FsyncP99  float64   `json:"fsync_p99_seconds,omitempty"`
	Elections uint64    `json:"elections"`
	Postgres  *bool     `json:"reaches_postgres,omitempty"`
	Itself    bool      `json:"itself,omitempty"` // the node that tells
}

// There tells whether the node answers.
func (n NodeView) There() bool { return n.State == NodeUp || n.State == NodeUnready }

// StreamView is one stream.
type StreamView struct {
	Name         string    `json:"name"`
	Subjects     []string  `json:"subjects"`
	Table        string    `json:"table"`
	Leader       string    `json:"leader,omitempty"`
	Sink         string    `json:"sink,omitempty"` // node that stores
	State        string    `json:"state"`          // of the sink; nobody, missing: no node keeps it
	For          float64   `json:"for_seconds"`
	Reason       string    `json:"reason,omitempty"`
	Advice       string    `json:"advice,omitempty"`
	First        uint64    `json:"first_seq"`
	Last         *uint64   `json:"last_seq,omitempty"`
	Sure         bool      `json:"last_seq_sure"` // its leader told; else a replica
	Bytes        uint64    `json:"bytes"`
	Messages     uint64    `json:"messages"`
	MaxBytes     int64     `json:"max_bytes"`
	Cursor       *uint64   `json:"cursor,omitempty"`
	CursorAge    float64   `json:"cursor_age_seconds"` // since when nobody has told it
	InFlight     *uint64   `json:"in_flight,omitempty"`
	Lag          *float64  `json:"lag_seconds,omitempty"`
	Still        float64   `json:"still_seconds"` // since anything was stored that is there to store
	PublishRate  *float64  `json:"publish_per_second,omitempty"`
	StoreRate    *float64  `json:"store_per_second,omitempty"`
	CommitP99    float64   `json:"commit_p99_seconds"`
	DeadLetters  *int64    `json:"dead_letters,omitempty"`
	Duplicates   *int64    `json:"duplicates,omitempty"`
	Gaps         *int64    `json:"gaps,omitempty"`
	LastGap      time.Time `json:"last_gap,omitzero"`
	Window       float64   `json:"window_seconds"` // age of the oldest message held
	ReplayWindow float64   `json:"replay_window_seconds"`
}
