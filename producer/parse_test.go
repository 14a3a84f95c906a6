package producer

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"

	"landfall/cluster"
)

// What the door takes for a subject, a server does too.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"messages.a", "a%2Fb", "%24JS.API", "_INBOX.x", "a..b", ".", "a b", "*", "a.>", "caf%C3%A9", "%ff", "%zz", "%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		s, err := parseSubject(escaped)
		if err != nil {
			return
		}
		if !server.IsValidPublishSubject(s) || strings.ContainsAny(s, " \t\r\n\x00*>") || !utf8.ValidString(s) {
			t.Errorf("%q is no subject to publish to", s)
		}
		if strings.HasPrefix(s, "$") || strings.HasPrefix(s, "_INBOX") {
			t.Errorf("%q belongs to the servers", s)
		}
		if again, err := parseSubject(url.PathEscape(s)); err != nil || again != s {
			t.Errorf("%q becomes %q (%v)", s, again, err)
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"k", `"k"`, `"a\"b\\"`, `"a`, `"a"b`, "", `""`, "a/b", "\x00", "\xff", `"\x"`, " a", "ä\u0085"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		key, err := parseKey(sent)
		if err != nil {
			return
		}
		if key == "" || len(key) > maxKey || !utf8.ValidString(key) || strings.ContainsAny(key, "/\x00\r\n") || strings.TrimSpace(key) != key {
			t.Errorf("%q is no key", key)
		}
		if !strings.HasPrefix(sent, `"`) && key != sent {
			t.Errorf("%q became %q", sent, key)
		}
	})
}

func TestKeyForms(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"o-1": "o-1", `"o-1"`: "o-1", `"a\"b\\c"`: `a"b\c`, `a"b`: `a"b`, "größe 7": "größe 7",
		strings.Repeat("k", maxKey): strings.Repeat("k", maxKey),
		`"größe"`:                   "", `"a";q=1`: "", `"a\n"`: "", `"`: "", `""`: "", "a\u0085b": "",
	} {
		got, err := parseKey(sent)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", sent, got, err)
		}
	}
}

// The door finds the same stream as the servers would.
func TestTakesAsServersDo(t *testing.T) {
	t.Parallel()
	token := rapid.SampledFrom([]string{"a", "b", "ab"})
	rapid.Check(t, func(t *rapid.T) {
		subject := strings.Join(rapid.SliceOfN(token, 1, 4).Draw(t, "subject"), ".")
		parts := rapid.SliceOfN(rapid.OneOf(token, rapid.Just("*")), 0, 4).Draw(t, "pattern")
		if len(parts) == 0 || rapid.Bool().Draw(t, "open end") {
			parts = append(parts, ">")
		}
		pattern := strings.Join(parts, ".")
		if got, want := (cluster.Stream{Subjects: []string{pattern}}).Takes(subject), server.SubjectsCollide(pattern, subject); got != want {
			t.Errorf("%s takes %s: %v, want %v", pattern, subject, got, want)
		}
	})
}
