package sink

import (
	"time"

	"landfall/message"
)

// observer passes on what a test asks for.
type observer struct {
	nobody
	committed func(message.Outcome)
	expired   func(rows int)
}

func (o observer) Committed(_ *message.Batch, out message.Outcome, _ time.Duration) {
	if o.committed != nil {
		o.committed(out)
	}
}

func (o observer) Expired(rows int) { o.expired(rows) }
