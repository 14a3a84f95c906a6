package status

import (
	"strings"
	"time"
	"unicode"

	"landfall/words"
)

// longestText is how much of what Postgres or a message says is shown, in
// characters.
const longestText = 400

// oneLine makes one line of a text from elsewhere, without characters that
// would move the terminal of whoever reads it.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\uFFFD' || r == ' ' || unicode.IsGraphic(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1 // control and direction marks
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > longestText {
		s = string(r[:longestText-1]) + "…"
	}
	return s
}

// span says a time that goes by, in whole seconds: it is read again and again.
func span(d time.Duration) string {
	if d < time.Second {
		return "a moment"
	}
	return words.Duration(d.Truncate(time.Second))
}

// list says names as people do: n1, n2 and n3.
func list(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// verb chooses between is and are.
func verb(names []string, one, several string) string {
	if len(names) == 1 {
		return one
	}
	return several
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
