package producer

import (
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nuid"
)

// maxKey is the longest key, in bytes.
const maxKey = 512

// idOf is the message's id: the Idempotency-Key, or a new one if there is
// none (made), so that the door's own repeats are safe.
//
// A key is taken as it was sent. One that begins with a double quote is read
// as the quoted string of the Idempotency-Key draft (RFC 8941, section
// 3.3.3): "o-1" and o-1 are the same key. A key may not contain `/`, which is
// kept for the lines of a batch, and no control characters.
func idOf(h http.Header) (id string, made bool, err error) {
	switch keys := h.Values("Idempotency-Key"); len(keys) {
	case 0:
		return nuid.Next(), true, nil
	case 1:
		id, err = parseKey(keys[0])
		return id, false, err
	default:
		return "", false, fmt.Errorf("%w: there are %d of them", errBadKey, len(keys))
	}
}

func parseKey(sent string) (string, error) {
	key := sent
	if strings.HasPrefix(sent, `"`) {
		var ok bool
		if key, ok = unquote(sent); !ok {
			return "", fmt.Errorf("%w: %q begins with a quote and is not a quoted string", errBadKey, sent)
		}
	}
	switch {
	case key == "":
		return "", fmt.Errorf("%w: it is empty", errBadKey)
	case len(key) > maxKey:
		return "", fmt.Errorf("%w: it has %d bytes, %d are allowed", errBadKey, len(key), maxKey)
	case !utf8.ValidString(key):
		return "", fmt.Errorf("%w: it is not valid UTF-8", errBadKey)
	case strings.ContainsFunc(key, unicode.IsControl):
		return "", fmt.Errorf("%w: it has control characters in it", errBadKey)
	case strings.Contains(key, "/"):
		return "", fmt.Errorf("%w: %q has a slash in it, which is kept for the lines of batches", errBadKey, key)
	case strings.TrimSpace(key) != key:
		// Servers drop leading spaces of a header when they look for
		// repeats, so two such keys would be one to them.
		return "", fmt.Errorf("%w: %q begins or ends with white space", errBadKey, key)
	}
	return key, nil
}

// unquote reads a string of structured field values: printable ASCII between
// double quotes, with backslashes before quotes and backslashes only.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i == len(s)-1
		case c < 0x20 || c > 0x7e:
			return "", false
		case c == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}
