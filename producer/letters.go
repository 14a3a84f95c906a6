package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"landfall/message"
)

// lettersPath is where dead letters are; STREAM/SEQ/retry or /discard may follow.
const lettersPath = "/v1/dead-letters"

// How many dead letters an answer has, unless asked otherwise, and at most.
const (
	someLetters = 100
	mostLetters = 1000
)

// DeadLetters are the messages that Postgres could not hold.
type DeadLetters interface {
	// List returns those that a choice names, by incarnation and sequence.
	List(ctx context.Context, c LetterChoice) ([]*message.DeadLetter, error)

	// Retry stores the one at a sequence, or publishes it again. Errors:
	// ErrNoLetter, *StillRefused, or an outage.
	Retry(ctx context.Context, stream string, seq uint64) (RetriedLetter, error)

	// Discard gives the one at a sequence up. Errors: ErrNoLetter, or an outage.
	Discard(ctx context.Context, stream string, seq uint64) (RetriedLetter, error)
}

// LetterChoice chooses dead letters that wait.
type LetterChoice struct {
	Stream string      // "": of any
	Reason string      // contained in the reason, or the SQLSTATE; "": any
	Since  time.Time   // when they failed, at the earliest
	After  LetterPlace // only those behind it
	Limit  int
}

// LetterPlace is where in the order of List a dead letter stands.
type LetterPlace struct {
	StreamID int64
	Seq      uint64
}

func letterPlaceOf(d *message.DeadLetter) LetterPlace { return LetterPlace{d.StreamID, d.Message.Seq} }

// String is the place as clients are given it, and give it back.
func (p LetterPlace) String() string { return fmt.Sprintf("%d.%d", p.StreamID, p.Seq) }

func parseLetterPlace(text string) (p LetterPlace, err error) {
	id, seq, _ := strings.Cut(text, ".")
	p.StreamID, err = strconv.ParseInt(id, 10, 64)
	if err == nil {
		p.Seq, err = strconv.ParseUint(seq, 10, 63)
	}
	return p, err
}

// RetriedLetter is what became of a dead letter.
type RetriedLetter struct {
	Resolution string          `json:"resolution"`
	As         uint64          `json:"as_seq,omitempty"` // sequence of the message that it was published again as
	Row        json.RawMessage `json:"row,omitempty"`    // of its key, before that
}

// StillRefused says that a dead letter cannot be stored yet.
type StillRefused struct{ Reason string }

func (e *StillRefused) Error() string { return errStillRefused.Error() + ": " + e.Reason }

func (e *StillRefused) Unwrap() error { return errStillRefused }

// serveLetters lists dead letters, or retries or discards one. rest is the path behind
// lettersPath.
func (d *Door) serveLetters(w http.ResponseWriter, r *http.Request, rest string) {
	var answer any
	var err error
	steps := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	switch get := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case rest == "" && get:
		answer, err = d.listLetters(r)
	case rest == "":
		err = fmt.Errorf("%w, not a %s", errGetMethod, r.Method)
	case len(steps) != 3 || steps[2] != "retry" && steps[2] != "discard":
		err = fmt.Errorf("%w: %s", errNoPath, r.URL.Path)
	case r.Method != http.MethodPost:
		err = fmt.Errorf("%w, not a %s", errMethod, r.Method)
	default:
		answer, err = d.dealWith(r, steps[0]+"/"+steps[1], steps[2] == "discard")
	}
	if err != nil {
		d.refuse(w, r, nil, err)
		return
	}
	respond(w, http.StatusOK, "application/json", answer)
}

// letterList is a page of dead letters.
type letterList struct {
	DeadLetters []*message.DeadLetter `json:"dead_letters"`
	Next        string                `json:"next,omitempty"`
}

func (d *Door) listLetters(r *http.Request) (*letterList, error) {
	c, err := d.parseChoice(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	letters, err := d.letters()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), d.o.Deadline)
	defer cancel()
	list, err := letters.List(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotAsked, err)
	}
	page := &letterList{DeadLetters: list}
	switch n := len(list); {
	case n == 0:
		page.DeadLetters = []*message.DeadLetter{}
	case n == c.Limit:
		page.Next = letterPlaceOf(list[n-1]).String()
	}
	return page, nil
}

func (d *Door) parseChoice(raw string) (LetterChoice, error) {
	c := LetterChoice{Limit: someLetters}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return c, fmt.Errorf("%w: %w", errBadLetterQuery, err)
	}
	for name, vs := range values {
		v := vs[0]
		switch name {
		case "stream":
			if !d.has(v) {
				return c, fmt.Errorf("%w %q; there are: %s", errUnknownStream, v, strings.Join(names(d.o.Streams), ", "))
			}
			c.Stream = v
		case "reason":
			c.Reason = v
		case "since":
			if c.Since, err = time.Parse(time.RFC3339, v); err != nil {
				return c, fmt.Errorf("%w: since is a time such as 2026-01-31T12:00:00Z, not %q", errBadLetterQuery, v)
			}
		case "after":
			if c.After, err = parseLetterPlace(v); err != nil {
				return c, fmt.Errorf("%w: after is what an answer gave as next, not %q", errBadLetterQuery, v)
			}
		case "limit":
			if c.Limit, err = strconv.Atoi(v); err != nil || c.Limit < 1 || c.Limit > mostLetters {
				return c, fmt.Errorf("%w: limit is 1 to %d, not %q", errBadLetterQuery, mostLetters, v)
			}
		default:
			return c, fmt.Errorf("%w: %q", errBadLetterQuery, name)
		}
	}
	return c, nil
}

func (d *Door) dealWith(r *http.Request, place string, discard bool) (*RetriedLetter, error) {
	stream, seq, err := d.parsePlace(place)
	if err != nil {
		return nil, err
	}
	letters, err := d.letters()
	if err != nil {
		return nil, err
	}
	deal, otherwise := letters.Retry, errNotRetried
	if discard {
		deal, otherwise = letters.Discard, errNotDiscarded
	}
	// What was begun is ended, whoever waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), d.o.Deadline)
	defer cancel()
	done, err := deal(ctx, stream, seq)
	switch {
	case err == nil:
		return &done, nil
	case errors.Is(err, ErrNoLetter), errors.Is(err, errStillRefused):
		return nil, fmt.Errorf("%s/%d: %w", stream, seq, err)
	}
	return nil, fmt.Errorf("%w: %w", otherwise, err)
}

func (d *Door) letters() (DeadLetters, error) {
	b := d.backend.Load()
	switch {
	case b == nil:
		return nil, d.notOpen()
	case b.Letters == nil:
		return nil, fmt.Errorf("%w: this node has nobody who could", errNotAsked)
	}
	return b.Letters, nil
}
