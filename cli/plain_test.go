package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestPlainText(t *testing.T) {
	t.Parallel()
	const connect = "connect: failed to connect to `user=app database=app`:"
	for text, want := range map[string]string{
		"away\n":   "away",
		"one\ntwo": "one\ntwo",
		connect + "\n\t::1: refused\n\t::1: refused":                                connect + " ::1: refused",
		connect + "\n\ta: refused\n\tb: refused":                                    connect + " a: refused; b: refused",
		connect + "\n\ta: tls error: server refused TLS connection\n\ta: FATAL: no": connect + " a: FATAL: no",
		connect + "\n\ta: no\n\ta: tls error: server refused TLS connection":        connect + " a: no; a: tls error: server refused TLS connection",
	} {
		if got := plainText(errors.New(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestPlainValues(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: plainValues}))
	log.Info("said", "error", errors.New("away"), "after", 1500*time.Millisecond, "rows", 3)
	if got, want := out.String(), `"msg":"said","error":"away","after":"1.5s","rows":3}`; !strings.Contains(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}
