package producer

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// summary is the answer to a batch that is whole in the stream. The tally is
// the truth it is made of.
type summary struct {
	tally `json:"-"`

	Stream     string `json:"stream"`
	Messages   uint64 `json:"messages"` // acknowledged
	Duplicates uint64 `json:"duplicates"`
	FirstSeq   uint64 `json:"first_seq"`
	LastSeq    uint64 `json:"last_seq"`
	Key        string `json:"key,omitempty"`
	Stored     *bool  `json:"stored,omitempty"` // with ack=stored

	buried uint64 // of the refused: acknowledged, and then dead letters
}

// batchProblem is the body of a refusal of some or all of a batch.
type batchProblem struct {
	problem
	Acknowledged uint64        `json:"acknowledged"`
	Duplicates   uint64        `json:"duplicates"`
	Through      uint64        `json:"through"` // number up to which every item is settled
	Refused      uint64        `json:"refused"`
	Lines        []lineProblem `json:"lines,omitempty"` // the first of them
	Stored       *bool         `json:"stored,omitempty"`
}

// lineProblem is why one item was refused.
type lineProblem struct {
	Line   uint64 `json:"line"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// bury counts messages that are acknowledged, and dead letters in Postgres.
// first are the first of them.
func (s *summary) bury(count uint64, first []refusedItem) {
	s.refused += count
	s.buried += count
	s.problems = append(s.problems, first...)
}

// sum answers a batch: what has become of it, and what to do about the rest.
// err is what ended it before its end.
func (d *Door) sum(w http.ResponseWriter, r *http.Request, q *request, s *summary, err error) {
	if err == nil && s.refused > 0 {
		err = fmt.Errorf("%w: %d of %d", errLines, s.refused, s.refused+s.acked-s.buried)
	}
	if err != nil {
		d.o.Published(refusalOf(err).name, 0)
		d.refuseBatch(w, r, q, s, err)
		return
	}
	d.o.Published("", 0)
	s.Messages, s.Duplicates, s.FirstSeq, s.LastSeq = s.acked, s.duplicates, s.first, s.last
	status := http.StatusOK
	if s.Stored != nil && !*s.Stored {
		status = http.StatusAccepted
	}
	respond(w, status, "application/json", s)
}

func (d *Door) refuseBatch(w http.ResponseWriter, r *http.Request, q *request, s *summary, err error) {
	like := refusalOf(err)
	p := batchProblem{
		problem:      like.problem(err),
		Acknowledged: s.acked, Duplicates: s.duplicates, Through: s.through, Refused: s.refused, Stored: s.Stored,
	}
	p.Advice = q.advice(like, s)
	slices.SortStableFunc(s.problems, func(a, b refusedItem) int { return cmp.Compare(a.n, b.n) })
	for _, it := range s.problems[:min(len(s.problems), maxProblems)] {
		p.Lines = append(p.Lines, lineProblem{Line: it.n, Type: refusalOf(it.err).kind(), Detail: it.err.Error()})
	}
	d.log(r, &incoming{subject: q.like.subject, id: q.like.id}, like, err)
	like.respond(w, p)
}

// advice is what to do about a batch that is not whole in the stream.
func (q *request) advice(like refusal, s *summary) string {
	var parts []string
	if like.advice != "" {
		parts = append(parts, like.advice)
	}
	switch {
	case errors.Is(like.err, errLines), errors.Is(like.err, errEmptyBatch):
	case errors.Is(like.err, errBatchTooLarge): // the whole would be too large again
		if q.form == batchOfLines {
			parts = append(parts, fmt.Sprintf("With the same Idempotency-Key and ?first_line=%d it may begin with line %d.", s.through+1, s.through+1))
		}
	case q.form == batchOfLines:
		parts = append(parts, fmt.Sprintf("Repeat the whole batch with the same Idempotency-Key, or send it from line %d on with that key and ?first_line=%d: nothing is stored twice.", s.through+1, s.through+1))
	default:
		parts = append(parts, "Repeat the whole batch: nothing is stored twice.")
	}
	if s.refused > 0 && !errors.Is(like.err, errLines) {
		parts = append(parts, mendLines)
	}
	return strings.Join(parts, " ")
}
