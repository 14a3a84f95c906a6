package message

import "time"

// Counts are what Postgres has of a stream beside rows, over all its
// incarnations.
type Counts struct {
	DeadLetters int64     `json:"dead_letters"` // that wait for somebody
	Duplicates  int64     `json:"duplicates"`
	Gaps        int64     `json:"gaps"`              // sequences
	LastGap     time.Time `json:"last_gap,omitzero"` // when it was noticed
}
