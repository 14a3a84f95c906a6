package sink

import "fmt"

// holeError says that the consumer skipped a sequence.
type holeError struct {
	missing uint64 // the sequence that was due
	came    uint64 // the one that came
}

func (e *holeError) Error() string {
	return fmt.Sprintf("sequence %d is missing: %d came", e.missing, e.came)
}

// due judges a delivered sequence. Only the next one is accepted; lower ones
// are redeliveries or an older pull's leftovers; a higher one is a hole, or
// the next ones were lost to an older pull.
func due(next, seq uint64) (accept bool, err error) {
	switch {
	case seq == next:
		return true, nil
	case seq < next:
		return false, nil
	}
	return false, &holeError{missing: next, came: seq}
}
