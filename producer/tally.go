package producer

// tally is what has become of a batch, as far as it is known.
type tally struct {
	acked      uint64 // messages that are in the stream, repeats included
	duplicates uint64 // of those: known to JetStream from before this request
	first      uint64 // lowest sequence among them; 0: none
	last       uint64 // highest sequence among them
	lastID     string // message id at last
	lastOld    bool   // JetStream knew that one when it was acknowledged; also if the first copy may be this request's

	// through is the number up to which every item is acknowledged or
	// refused for good: a client may go on behind it.
	through uint64

	refused  uint64        // items refused for good, each with its own reason
	problems []refusedItem // the first maxProblems of them
}

// refusedItem is one item that is not in the stream, and why.
type refusedItem struct {
	n   uint64
	err error
}

// maxProblems is how many refused items an answer lists.
const maxProblems = 100

// acknowledge counts a message that is in the stream. old says that JetStream
// knew it.
func (t *tally) acknowledge(id string, seq uint64, old bool) {
	t.acked++
	if t.first == 0 || seq < t.first {
		t.first = seq
	}
	if seq > t.last {
		t.last, t.lastID, t.lastOld = seq, id, old
	}
}

func (t *tally) refuse(p *place) {
	t.refused++
	if len(t.problems) < maxProblems {
		t.problems = append(t.problems, refusedItem{n: p.n, err: p.err})
	}
}
