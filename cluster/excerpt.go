package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// excerptWidth is how many characters of a long line an excerpt shows.
const excerptWidth = 100

// mask stands for a secret, whatever its length.
const mask = "***"

// span is a run of characters of a line, from inclusive, to exclusive.
type span struct{ from, to int }

// excerpt shows a line of the file with a caret below the column. The text is
// the one in the file, before expansion, with secrets masked.
func excerpt(lines []string, line, column int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	text := []rune(lines[line-1])
	at := min(max(column-1, 0), len(text))
	text, at = maskSpans(text, at, secretSpans(lines, line))
	from := 0
	if at > excerptWidth-20 {
		from = at - (excerptWidth - 20)
	}
	to := min(len(text), from+excerptWidth)
	var shown strings.Builder
	for _, r := range text[from:to] {
		switch {
		case r == '\t':
			r = ' '
		case !unicode.IsPrint(r):
			r = unicode.ReplacementChar
		}
		shown.WriteRune(r)
	}
	number := fmt.Sprintf("%5d", line)
	gutter := strings.Repeat(" ", len(number))
	body := strings.TrimRight(shown.String(), " ")
	return fmt.Sprintf("%s | %s\n%s | %s^", number, body, gutter, strings.Repeat(" ", at-from))
}

// maskSpans replaces the spans by the mask and moves the caret along.
func maskSpans(text []rune, at int, spans []span) ([]rune, int) {
	var out []rune
	done, caret := 0, at
	for _, s := range spans {
		if s.from < done || s.to <= s.from {
			continue
		}
		out = append(out, text[done:s.from]...)
		switch {
		case at >= s.to:
			caret -= s.to - s.from - len(mask)
		case at > s.from:
			caret -= at - s.from
		}
		out = append(out, []rune(mask)...)
		done = s.to
	}
	return append(out, text[done:]...), caret
}

var (
	topKey = regexp.MustCompile(`^["']?([^\s:"'{}\[\]]+)["']?\s*:(\s|$)`)
	// A key of the line, as far as its colon, wherever the line begins.
	lineKey = regexp.MustCompile(`^[\s{,-]*["']?([^\s:"'{}\[\]]+)["']?\s*:(\s+|$)`)
	// Every name that a value follows.
	anyKey = regexp.MustCompile(`(?:^|[\s{,])["']?([\w-]+)["']?\s*[:=]\s*`)
	// The part of a URL before the host.
	urlUser = regexp.MustCompile(`://([^\s]*)@`)
	// A value that only names a variable holds no secret.
	bareVariable = regexp.MustCompile(`^["']?\$\{\w+(\?[^}]*)?\}["']?\s*(}\s*)?$`)
	// A database URL of which one can tell for certain what its password is.
	plainURL = regexp.MustCompile(`postgres(ql)?://[\w.-]*:([^\s@/?#:"'{}]+)@[\w.,:\[\]-]*(/[\w.-]*)?}?["']?\s*$`)
)

// secretSpans finds what must not be printed of a line. It works on the text
// alone, since a file that does not parse must not give its secrets away
// either, and rather hides too much: in the parts of the file that hold
// secrets, and in parts it does not know, every value is masked.
func secretSpans(lines []string, line int) []span {
	text := lines[line-1]
	if s, ok := secretPart(lines, line); ok {
		return inCharacters(text, []span{s})
	}
	var spans []span
	for _, m := range anyKey.FindAllStringSubmatchIndex(text, -1) {
		if namesSecret(text[m[2]:m[3]]) {
			spans = append(spans, valueSpan(text, m[1]))
		}
	}
	if m := urlUser.FindStringSubmatchIndex(text); m != nil {
		spans = append(spans, span{m[2], m[3]})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	return inCharacters(text, spans)
}

// secretPart tells whether a line stands in a section that may hold secrets,
// and what is secret of it.
func secretPart(lines []string, line int) (span, bool) {
	section := ""
	for i := line - 1; i >= 0; i-- {
		if strings.TrimLeft(lines[i], " \t#") != lines[i] || lines[i] == "" {
			continue
		}
		if m := topKey.FindStringSubmatch(lines[i]); m != nil {
			section = m[1]
		}
		break
	}
	if !holdsSecrets(section) {
		return span{}, false
	}
	text, start := lines[line-1], 0
	if m := lineKey.FindStringSubmatchIndex(text); m != nil {
		start = m[1]
		if text[m[2]:m[3]] == "migrate" {
			return span{}, true
		}
	}
	return valueSpan(text, start), true
}

// namesSecret tells whether a key, or what it may be a slip for, names a
// secret, wherever it stands.
func namesSecret(key string) bool {
	words := []string{"token", "password", "passwd", "passphrase", "secret", "credentials", "postgres", "migrate_url", "url"}
	if nearest(key, words) != "" {
		return true
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(key), w) })
}

// holdsSecrets tells it of a section of the file. A key that is none counts
// as the one it looks like, and if it looks like none, as secret.
func holdsSecrets(section string) bool {
	open := slices.Concat(rootKeys(), nodeKeys(), streamKeys())
	open = slices.DeleteFunc(open, func(k string) bool { return k == "auth" || k == "postgres" })
	closed := slices.Concat([]string{"auth", "postgres"}, authKeys(), postgresKeys())
	if !slices.Contains(open, section) {
		// Half a word such as ken looks like key, and may have been token.
		long := slices.DeleteFunc(slices.Clone(open), func(k string) bool { return len(k) < 4 })
		section = nearest(section, slices.Concat(closed, long))
	}
	return !slices.Contains(open, section)
}

// valueSpan is the secret within a value that begins at byte from.
func valueSpan(text string, from int) span {
	value := text[from:]
	if bareVariable.MatchString(value) || strings.TrimSpace(value) == "" {
		return span{from, from}
	}
	if m := plainURL.FindStringSubmatchIndex(value); m != nil && strings.Count(value, "@") == 1 {
		return span{from + m[4], from + m[5]}
	}
	return span{from, len(text)}
}

// inCharacters joins what overlaps among sorted spans of bytes, and counts
// in characters.
func inCharacters(text string, spans []span) []span {
	var out []span
	for _, s := range spans {
		if s.to <= s.from {
			continue
		}
		from, to := len([]rune(text[:s.from])), len([]rune(text[:s.to]))
		if n := len(out); n > 0 && from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, to)
			continue
		}
		out = append(out, span{from, to})
	}
	return out
}
