package sink

import (
	"log/slog"
	"time"

	"landfall/message"
)

// tellAside is how often the log is told of dead letters at most: when every
// other message is bad there may be hundreds of batches a second with some.
const tellAside = 5 * time.Second

// aside is what the log has yet to be told of messages that became dead
// letters. The first is told at once, those after it together.
type aside struct {
	count int
	upTo  uint64
	told  time.Time
}

// add notes what became of a batch.
func (a *aside) add(out message.Outcome) {
	if out.DeadLetters > 0 {
		a.count += out.DeadLetters
		a.upTo = out.Cursor.Seq
	}
}

// tell tells the log, unless it was told a moment ago.
func (a *aside) tell(log *slog.Logger) {
	if time.Since(a.told) >= tellAside {
		a.tellAll(log)
	}
}

// tellAll tells the log whatever it does not know.
func (a *aside) tellAll(log *slog.Logger) {
	if a.count == 0 {
		return
	}
	log.Warn("messages became dead letters", "count", a.count, "up_to", a.upTo)
	*a = aside{told: time.Now()}
}
