package drill

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The lines of a book, for people as well: grep finds a message by its id,
// then everything about it by its place.
//
//	17 offered 2026-01-31T23:59:59.123456Z 0011..ff messages.http run-http-17
//	17 acked 2026-01-31T23:59:59.125001Z MESSAGES 42
//
// The second word is offered, or offered-bad, or what was told: acked,
// duplicate, refused, unknown. A subject or an id that is no single plain word
// is quoted as Go does it.
const (
	wordOffered   = "offered"
	wordBad       = "offered-bad"
	wordDuplicate = "duplicate"

	bookTime = "2006-01-02T15:04:05.000000Z"
)

func appendOffer(line []byte, r Ref, m Message, due time.Time) []byte {
	word := wordOffered
	if m.Bad {
		word = wordBad
	}
	line = appendBeginning(line, r, word, due)
	body := HashOf(m.Body)
	line = hex.AppendEncode(append(line, ' '), body[:])
	line = appendWord(append(line, ' '), m.Subject)
	line = appendWord(append(line, ' '), m.ID)
	return append(line, '\n')
}

func appendTold(line []byte, r Ref, t Told) []byte {
	word := t.Outcome.String()
	if t.Outcome == Acked && t.Duplicate {
		word = wordDuplicate
	}
	line = appendBeginning(line, r, word, t.At)
	if t.Outcome == Acked {
		line = appendWord(append(line, ' '), t.Stream)
		line = strconv.AppendUint(append(line, ' '), t.Seq, 10)
	}
	return append(line, '\n')
}

func appendBeginning(line []byte, r Ref, word string, at time.Time) []byte {
	line = strconv.AppendInt(line, int64(r), 10)
	line = append(append(line, ' '), word...)
	return at.UTC().AppendFormat(append(line, ' '), bookTime)
}

// appendWord quotes what would not read back as one word.
func appendWord(line []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c > '~' {
			return strconv.AppendQuote(line, s)
		}
	}
	if s == "" {
		return append(line, `""`...)
	}
	return append(line, s...)
}

// bookLine is a line read back: an offer, or what was told.
type bookLine struct {
	place int
	offer bool
	entry Entry // of an offer: ID, Subject, Body, Bad, Offered
	told  Told  // otherwise
}

var errBookLine = errors.New("not a line of a book")

func parseBookLine(text string) (l bookLine, err error) {
	w := words{rest: text}
	l.place = int(w.number())
	kind := w.next()
	at, err := time.Parse(bookTime, w.next())
	if err != nil {
		return l, fmt.Errorf("%w: %q", errBookLine, text)
	}
	switch kind {
	case wordOffered, wordBad:
		l.offer = true
		l.entry = Entry{Bad: kind == wordBad, Offered: at, Body: w.hash(), Subject: w.next(), ID: w.next()}
	case wordDuplicate, Acked.String():
		l.told = Told{Outcome: Acked, At: at, Duplicate: kind == wordDuplicate, Stream: w.next(), Seq: w.number()}
	case Refused.String():
		l.told = Told{Outcome: Refused, At: at}
	case Unknown.String():
		l.told = Told{Outcome: Unknown, At: at}
	default:
		w.bad = true
	}
	if w.bad || w.rest != "" {
		return l, fmt.Errorf("%w: %q", errBookLine, text)
	}
	return l, nil
}

// words takes a line apart.
type words struct {
	rest string
	bad  bool
}

func (w *words) next() string {
	if !strings.HasPrefix(w.rest, `"`) {
		word, rest, _ := strings.Cut(w.rest, " ")
		w.rest = rest
		w.bad = w.bad || word == ""
		return word
	}
	quoted, err := strconv.QuotedPrefix(w.rest)
	if err != nil {
		w.bad = true
		return ""
	}
	w.rest = strings.TrimPrefix(w.rest[len(quoted):], " ")
	word, err := strconv.Unquote(quoted)
	w.bad = w.bad || err != nil
	return word
}

func (w *words) number() uint64 {
	n, err := strconv.ParseUint(w.next(), 10, 64)
	w.bad = w.bad || err != nil
	return n
}

func (w *words) hash() (h Hash) {
	word := w.next()
	if len(word) != hex.EncodedLen(len(h)) {
		w.bad = true
		return h
	}
	_, err := hex.Decode(h[:], []byte(word))
	w.bad = w.bad || err != nil
	return h
}
