package node

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseAckReply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply string
		seq   uint64
		nanos int64
		ok    bool
	}{
		{"$JS.ACK.MESSAGES.postgres.1.42.7.1763800000123456789.0", 42, 1763800000123456789, true},
		{"$JS.ACK._.ABC123.MESSAGES.postgres.1.42.7.1763800000123456789.0", 42, 1763800000123456789, true},
		{"$JS.ACK.hub.ABC123.MESSAGES.postgres.1.42.7.1763800000123456789.0.xyz", 42, 1763800000123456789, true},
		{"$JS.ACK.hub.ABC123.MESSAGES.postgres.1.42.7.9.0.xyz.more.and.more", 42, 9, true},
		{"$JS.ACK.M.p.1.18446744073709551615.7.0.0", math.MaxUint64, 0, true},
		{"", 0, 0, false},
		{"_INBOX.abc", 0, 0, false},
		{"$JS.ACK.", 0, 0, false},
		{"$JS.ACK.MESSAGES.postgres.1.42.7.9", 0, 0, false},       // a token short
		{"$JS.ACK.MESSAGES.postgres.1.42.7.9.0.1", 0, 0, false},   // neither form
		{"$JS.ACK.MESSAGES.postgres.1.0.7.9.0", 0, 0, false},      // no such sequence
		{"$JS.ACK.MESSAGES.postgres.1.-4.7.9.0", 0, 0, false},     // no number
		{"$JS.ACK.MESSAGES.postgres.1..7.9.0", 0, 0, false},       // empty
		{"$JS.ACK.M.p.1.18446744073709551616.7.9.0", 0, 0, false}, // too big
		{"$JS.ACK.M.p.1.5.7.9223372036854775808.0", 0, 0, false},  // too late
		{"$JS.FC.MESSAGES.postgres.1.42.7.1763800000123456789", 0, 0, false},
	} {
		seq, nanos, ok := parseAckReply(c.reply)
		if seq != c.seq || nanos != c.nanos || ok != c.ok {
			t.Errorf("%q is %d, %d, %v", c.reply, seq, nanos, ok)
		}
	}
}

func TestParseAckReplyReadsBothForms(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seq := rapid.Uint64Min(1).Draw(t, "seq")
		nanos := rapid.Int64Min(0).Draw(t, "nanos")
		reply := fmt.Sprintf("MESSAGES.postgres.1.%d.%d.%d.%d", seq, rapid.Uint64().Draw(t, "cseq"), nanos, rapid.Uint64().Draw(t, "pending"))
		if rapid.Bool().Draw(t, "long") {
			reply = "_.HASH." + reply + strings.Repeat(".t", rapid.IntRange(0, 4).Draw(t, "more"))
		}
		s, n, ok := parseAckReply("$JS.ACK." + reply)
		if s != seq || n != nanos || !ok {
			t.Fatalf("%s is %d, %d, %v", reply, s, n, ok)
		}
	})
}

func FuzzParseAckReply(f *testing.F) {
	f.Add("$JS.ACK.MESSAGES.postgres.1.42.7.1763800000123456789.0")
	f.Add("$JS.ACK._.H.MESSAGES.postgres.1.42.7.1763800000123456789.0.t")
	f.Fuzz(func(t *testing.T, reply string) {
		if seq, nanos, ok := parseAckReply(reply); ok && (seq == 0 || nanos < 0) {
			t.Errorf("%q is %d, %d", reply, seq, nanos)
		}
	})
}
