package cli

import (
	"log/slog"
	"time"

	"landfall/words"
)

// plainValues makes log lines of what slog would write otherwise: an error is
// its plain text, and a duration 1.5s, where JSON would have a bare number of
// nanoseconds.
func plainValues(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case error:
		a.Value = slog.StringValue(words.Plain(v))
	case time.Duration:
		a.Value = slog.StringValue(v.String())
	}
	return a
}
