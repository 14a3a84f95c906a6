package producer

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"landfall/cluster"
)

// maxSubject is far more than any sensible subject, and far less than the
// control line that a server reads (4 KiB, subject and reply together).
const maxSubject = 1024

// parseSubject makes a subject of its percent-encoded form in a path. It must
// be one that a message can be published to: tokens with dots between them, no
// white space, no wildcard characters. Subjects that begin with `$` belong to
// the servers ($JS is the JetStream API, $SYS their events), those that begin
// with `_INBOX` to answers on their way: this door leads to neither.
func parseSubject(escaped string) (string, error) {
	s, err := url.PathUnescape(escaped)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errBadSubject, err)
	}
	switch {
	case s == "":
		return "", fmt.Errorf("%w: it is empty", errBadSubject)
	case len(s) > maxSubject:
		return "", fmt.Errorf("%w: it has %d bytes, %d are allowed", errBadSubject, len(s), maxSubject)
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%w: %q is not valid UTF-8", errBadSubject, s)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "", fmt.Errorf("%w: %q has white space or control characters in it", errBadSubject, s)
	case strings.ContainsAny(s, "*>"):
		return "", fmt.Errorf("%w: %q has a wildcard in it, and a message goes to one subject", errBadSubject, s)
	case slices.Contains(strings.Split(s, "."), ""):
		return "", fmt.Errorf("%w: %q has an empty token", errBadSubject, s)
	case strings.HasPrefix(s, "$"), strings.HasPrefix(s, "_INBOX"):
		return "", fmt.Errorf("%w: %q belongs to the servers", errBadSubject, s)
	}
	return s, nil
}

// streamOf finds the stream that takes the subject.
func streamOf(streams []cluster.Stream, subject string) (string, error) {
	var taken []string
	for _, s := range streams {
		if s.Takes(subject) {
			return s.Name, nil
		}
		taken = append(taken, s.Subjects...)
	}
	return "", fmt.Errorf("%w %q; taken are: %s", errNoStream, subject, strings.Join(taken, ", "))
}
