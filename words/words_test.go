package words

import (
	"math"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{Count(0, "node"), "0 nodes"},
		{Count(1, "node"), "1 node"},
		{Count(12345, "row"), "12,345 rows"},
		{Thousands(999), "999"},
		{Thousands(1000), "1,000"},
		{Thousands(-1234567), "-1,234,567"},
		{Thousands(-123), "-123"},
		{Size(0), "0 bytes"},
		{Size(1023), "1023 bytes"},
		{Size(1536), "1.5 KiB"},
		{Size(4 << 30), "4 GiB"},
		{Size(math.MaxInt64), "8 EiB"},
		{Duration(0), "0s"},
		{Duration(250 * time.Millisecond), "250ms"},
		{Duration(1500 * time.Millisecond), "1.5s"},
		{Duration(30 * time.Second), "30s"},
		{Duration(89 * time.Second), "1m 29s"},
		{Duration(72 * time.Hour), "72h"},
		{Duration(2*time.Hour + 4*time.Minute + 59*time.Second), "2h 4m"},
		{Duration(2000 * time.Hour), "83 days"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
