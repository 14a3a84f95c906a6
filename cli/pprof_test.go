package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestServePprof(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	if err := servePprof(ctx, "127.0.0.1:0", slog.New(slog.NewJSONHandler(&out, nil))); err != nil {
		t.Fatal(err)
	}
	var said struct{ URL string }
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(said.URL + "goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "TestServePprof") {
		t.Errorf("%s %v %s", resp.Status, err, body)
	}
	if err := servePprof(ctx, strings.TrimSuffix(strings.TrimPrefix(said.URL, "http://"), "/debug/pprof/"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an address that is taken was taken again")
	}
}

func TestServePprofOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:6060", ":6060", "6060", "10.1.2.3:6060", "[::]:6060", "localhost"} {
		if err := servePprof(t.Context(), address, slog.New(slog.DiscardHandler)); ExitCode(err) != 2 {
			t.Errorf("%s: %v", address, err)
		}
	}
}
