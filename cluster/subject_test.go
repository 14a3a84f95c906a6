package cluster

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTakes(t *testing.T) {
	t.Parallel()
	c := &Config{Streams: []Stream{
		{Name: "A", Subjects: []string{"a", "a.*.x", "b.>"}},
		{Name: "C", Subjects: []string{"c.*"}},
	}}
	for literal, want := range map[string]string{
		"a": "A", "a.1.x": "A", "b.1": "A", "b.1.2.3": "A", "c.1": "C",
		"": "", "b": "", "a.x": "", "a.1.y": "", "a.1.x.2": "", "c": "", "c.1.2": "", "aa": "", "b.": "", "c.": "",
	} {
		for _, s := range c.Streams {
			if got := s.Takes(literal); got != (s.Name == want) {
				t.Errorf("stream %s takes %q: %v", s.Name, literal, got)
			}
		}
	}
}

// On a small alphabet one can try every literal subject: two patterns overlap
// exactly if some literal matches both.
func TestOverlapIsACommonLiteral(t *testing.T) {
	t.Parallel()
	words := []string{"a", "b"}
	var literals []string
	var grow func(prefix []string)
	grow = func(prefix []string) {
		if len(prefix) > 0 {
			literals = append(literals, strings.Join(prefix, "."))
		}
		if len(prefix) == 5 {
			return
		}
		for _, w := range words {
			grow(append(prefix[:len(prefix):len(prefix)], w))
		}
	}
	grow(nil)
	pattern := rapid.Custom(func(t *rapid.T) string {
		tokens := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 1, 4).Draw(t, "tokens")
		if rapid.Bool().Draw(t, "full") {
			tokens = append(tokens, ">")
		}
		return strings.Join(tokens, ".")
	})
	rapid.Check(t, func(t *rapid.T) {
		p, q := pattern.Draw(t, "p"), pattern.Draw(t, "q")
		common := false
		for _, l := range literals {
			common = common || takes(p, l) && takes(q, l)
		}
		if overlap(p, q) != common || overlap(q, p) != common {
			t.Fatalf("%s and %s: overlap %v and %v, a common literal: %v", p, q, overlap(p, q), overlap(q, p), common)
		}
	})
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "5": 5, "5B": 5, "1kB": 1000, "1KB": 1000, "2MB": 2e6, "1GB": 1e9, "3TB": 3e12,
		"1KiB": 1024, "512MiB": 512 << 20, "4GiB": 4 << 30, "4 GiB": 4 << 30, "1TiB": 1 << 40,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5GiB", "1G", "GiB", "4gib", "1e9", "0x10", "1_000", " 1", "1  GiB", "１"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
	for _, text := range []string{"9223372036854775808", "99999999999999999999TiB", "9999999999GiB"} {
		if got, ok := parseSize(text); !ok || got <= maxMaxBytes {
			t.Errorf("%s: got %d, %v", text, got, ok)
		}
	}
}
