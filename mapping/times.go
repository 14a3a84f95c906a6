package mapping

import (
	"bytes"
	"errors"
	"fmt"
)

// checkTime refuses the strings that Postgres takes for a time but that do not
// say which. Its words may stand beside others ("today 04:05"), so each run of
// letters is looked at, as its own parser does
// (https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES).
func checkTime(text []byte) error {
	if len(text) == 0 {
		return errors.New("an empty string, where a time is due")
	}
	for i := 0; i < len(text); {
		n := 0
		for i+n < len(text) && isLetter(text[i+n]) {
			n++
		}
		if n > 0 && isSpecial(text[i:i+n]) {
			return fmt.Errorf("%q, where a time is due that stays the same", text[i:i+n])
		}
		i += n + 1
	}
	return nil
}

func isLetter(c byte) bool { c |= 0x20; return 'a' <= c && c <= 'z' }

func isSpecial(word []byte) bool {
	if len(word) < len("now") || len(word) > len("yesterday") {
		return false
	}
	for _, special := range [...]string{"now", "today", "tomorrow", "yesterday", "epoch", "allballs"} {
		if len(word) == len(special) && bytes.EqualFold(word, []byte(special)) {
			return true
		}
	}
	return false
}

// checkLiteral looks into an array's literal that came as a string. Only its
// times need that; escapes could hide a word among them, and none is needed
// to write a time.
func checkLiteral(kind Kind, text []byte) error {
	if kind.elem() != Time {
		return nil
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		return errors.New("a backslash in an array of times")
	}
	return checkTime(text)
}
