package cluster

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The limits of durations and sizes.
const (
	minElectionTimeout = 200 * time.Millisecond
	maxElectionTimeout = 30 * time.Second
	minReplayWindow    = time.Second
	minKeep            = time.Minute
	minDuplicateWindow = 100 * time.Millisecond // nats-server refuses shorter ones
	maxDuration        = 100 * 365 * 24 * time.Hour
	minMaxBytes        = 1 << 20
	maxMaxBytes        = 1 << 50
)

// electionTimeout is 0, for the stock timers, or within reason: shorter, and
// a slow fsync looks like a dead leader.
func (f field) electionTimeout() time.Duration {
	d, t, ok := f.rawDuration()
	if ok && d != 0 && (d < minElectionTimeout || d > maxElectionTimeout) {
		f.problem("%s must be 0 (NATS' own timers) or between %s and %s", t.shown, minElectionTimeout, maxElectionTimeout)
	}
	return d
}

// duration reads a duration within limits; 0 stands for one that it refused.
func (f field) duration(least, most time.Duration) time.Duration {
	d, t, ok := f.rawDuration()
	switch {
	case !ok:
		return 0
	case d < least:
		f.problem("%s is too short, the least is %s", t.shown, least)
		return 0
	case d > most:
		f.problem("%s is too long, the most is %dh", t.shown, int(most.Hours()))
		return 0
	}
	return d
}

func (f field) rawDuration() (time.Duration, text, bool) {
	t, ok := f.scalar()
	if !ok {
		return 0, t, false
	}
	d, err := time.ParseDuration(t.value)
	if err == nil {
		return d, t, true
	}
	hint := "write for example 30s, 10m or 72h"
	if days, isDays := strings.CutSuffix(t.value, "d"); isDays {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 10000 && t.shown == strconv.Quote(t.value) {
			hint = "there is no unit d, write " + strconv.Itoa(n*24) + "h"
		}
	}
	f.problem("%s is not a duration: %s", t.shown, hint)
	return 0, t, false
}

var sizeForm = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)

// maxBytes reads the size of a stream.
func (f field) maxBytes() int64 {
	t, ok := f.scalar()
	if !ok {
		return 0
	}
	n, ok := parseSize(t.value)
	switch {
	case !ok:
		f.problem("%s is not a size: write for example 4GiB, 512MiB, 1GB, or a whole number of bytes", t.shown)
	case n < minMaxBytes:
		f.problem("%s is too small, the least is 1MiB", t.shown)
	case n > maxMaxBytes:
		f.problem("%s is too large, the most is 1024TiB", t.shown)
	default:
		return n
	}
	return 0
}

// parseSize reads a whole number with an optional unit. A size beyond int64
// is as good as the largest.
func parseSize(text string) (int64, bool) {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	unit, ok := sizeUnit(m[2])
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return math.MaxInt64, true
	}
	return n * unit, true
}

// unit is one that a size may be given in.
type unit struct {
	name  string
	bytes int64
}

func sizeUnits() []unit {
	return []unit{
		{"", 1}, {"B", 1},
		{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	}
}

func sizeUnit(name string) (int64, bool) {
	for _, u := range sizeUnits() {
		if u.name == name {
			return u.bytes, true
		}
	}
	return 0, false
}

// plainName is what a NATS cluster, a NATS server and a directory may be called.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

const plainNameRule = "must have at most 64 characters: letters, digits, - and _, the first a letter or digit"

// name reads the name of the cluster.
func (f field) name() string {
	t, ok := f.text()
	if ok && !plainName.MatchString(t.value) {
		f.problem("%s %s", t.shown, plainNameRule)
	}
	return t.value
}

const longestStream = 128

// streamName says what is wrong with the name of a stream, if anything.
// JetStream uses it in subjects and as a directory.
func streamName(name string) string {
	switch {
	case name == "":
		return "a stream needs a name"
	case len(name) > longestStream:
		return "a stream's name may have at most 128 bytes"
	case strings.ContainsAny(name, `.*>/\`) || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}):
		return `a stream's name may not hold spaces or any of . * > / \`
	case strings.HasPrefix(name, "$") || strings.HasPrefix(name, "_"):
		return "a stream's name may not begin with $ or _, which NATS keeps for itself"
	}
	return ""
}

// path reads the directory of the nodes' data.
func (f field) path() string {
	t, ok := f.text()
	if ok && (t.value == "" || strings.ContainsRune(t.value, 0)) {
		f.problem("must be a directory, as in ./data")
	}
	return t.value
}

var identifier = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`)

// table reads SCHEMA.TABLE or TABLE. Only plain names, so that they mean the
// same quoted and unquoted and leave room for the names of indexes.
func (f field) table() string {
	t, ok := f.text()
	if !ok {
		return ""
	}
	schema, table, both := strings.Cut(t.value, ".")
	if !both {
		schema, table = "public", t.value
	}
	switch {
	case !identifier.MatchString(schema) || !identifier.MatchString(table):
		f.problem("%s must be SCHEMA.TABLE or TABLE, each of at most 48 lower case letters, digits and _, not beginning with a digit", t.shown)
	case schema == "landfall" || schema == "information_schema" || strings.HasPrefix(schema, "pg_"):
		f.problem("%s cannot be: that schema holds other things", t.shown)
	}
	return schema + "." + table
}
