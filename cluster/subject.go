package cluster

import (
	"slices"
	"strings"
	"unicode"
)

const (
	anyToken  = "*"
	anyTokens = ">"
	maxLength = 255
)

// subject is one of a stream's subjects with the place it was read from.
type subject struct {
	field
	text  string
	shown string
}

// subjects reads the list of a stream.
func (f field) subjects() []subject {
	items, ok := f.list(`[messages, "messages.>"]`)
	if !ok {
		return nil
	}
	if len(items) == 0 {
		f.problem("needs at least one subject")
	}
	var list []subject
	for _, item := range items {
		t, ok := item.text()
		if !ok {
			continue
		}
		if wrong := wrongSubject(t.value); wrong != "" {
			item.problem("%s %s", t.shown, wrong)
			continue
		}
		list = append(list, subject{item, t.value, t.shown})
	}
	return list
}

// wrongSubject says what is wrong with a subject that a stream is to take,
// or "".
func wrongSubject(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxLength:
		return "is longer than 255 bytes"
	case strings.HasPrefix(s, "$"):
		return "begins with $, which NATS keeps for itself"
	case strings.HasPrefix(s, "_INBOX"):
		return "begins with _INBOX, where NATS sends replies"
	case strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	}):
		return "holds spaces or characters that cannot be printed"
	}
	tokens := strings.Split(s, ".")
	for i, t := range tokens {
		switch {
		case t == "":
			return "has an empty part: one word between the dots, none at the ends"
		case t == anyTokens && i < len(tokens)-1:
			return "has > before its end"
		case len(t) > 1 && strings.ContainsAny(t, "*>"):
			return "has a wildcard inside a word: * and > stand alone between dots"
		}
	}
	if tokens[0] == anyToken || tokens[0] == anyTokens {
		return "begins with a wildcard and so takes what NATS keeps for itself: begin with a word"
	}
	return ""
}

// checkOverlaps notes every subject that shares messages with an earlier one,
// of the same stream or of another: JetStream would refuse the stream.
func checkOverlaps(subjects []subject) {
	for i, s := range subjects {
		for _, earlier := range subjects[:i] {
			if overlap(earlier.text, s.text) {
				s.problem("%s takes messages that %s %s takes too", s.shown, earlier.key, earlier.shown)
				break
			}
		}
	}
}

// overlap tells whether some literal subject matches both of two valid ones.
func overlap(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] == anyTokens || y[i] == anyTokens {
			return true
		}
		if x[i] != y[i] && x[i] != anyToken && y[i] != anyToken {
			return false
		}
	}
	return len(x) == len(y)
}

// takes tells whether a valid subject, perhaps with wildcards, matches a
// literal one.
func takes(pattern, literal string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		if p == anyTokens {
			return literal != ""
		}
		l, restL, moreL := strings.Cut(literal, ".")
		if l == "" || (p != anyToken && p != l) || moreP != moreL {
			return false
		}
		if !moreP {
			return true
		}
		pattern, literal = restP, restL
	}
}

// Takes tells whether messages of a literal subject go to this stream. At most
// one stream takes it, since subjects do not overlap.
func (s Stream) Takes(literal string) bool {
	return slices.ContainsFunc(s.Subjects, func(pattern string) bool { return takes(pattern, literal) })
}
