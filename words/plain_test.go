package words

import (
	"errors"
	"testing"
)

func TestPlain(t *testing.T) {
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
		if got := Plain(errors.New(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
