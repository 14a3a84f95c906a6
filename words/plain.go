package words

import (
	"slices"
	"strings"
)

// Plain is an error's text without the lists that pgx makes: it tells of
// every attempt to connect on an indented line of its own, and tries twice,
// with TLS and without, where nobody has said which. Of attempts that say the
// same one is told, and of a server without TLS only what it says without.
func Plain(err error) string {
	first, rest, several := strings.Cut(strings.TrimSpace(err.Error()), "\n\t")
	if !several {
		return first
	}
	var told []string
	attempts := strings.Split(rest, "\n\t")
	for i, attempt := range attempts {
		noTLS := strings.HasSuffix(attempt, "server refused TLS connection") && i < len(attempts)-1
		if !noTLS && !slices.Contains(told, attempt) {
			told = append(told, attempt)
		}
	}
	return first + " " + strings.Join(told, "; ")
}
