package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestPlainValues(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: plainValues}))
	log.Info("said", "error", errors.New("away"), "after", 1500*time.Millisecond, "rows", 3)
	if got, want := out.String(), `"msg":"said","error":"away","after":"1.5s","rows":3}`; !strings.Contains(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}
