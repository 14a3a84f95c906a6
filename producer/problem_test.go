package producer

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// Every problem as a client reads it. UPDATE_GOLDEN=1 writes the file anew.
func TestProblemsGolden(t *testing.T) {
	t.Parallel()
	d := New(Options{})
	m := &incoming{id: "o-1", subject: "messages"}
	var got bytes.Buffer
	for _, like := range append(refusals[:], unforeseen) {
		err := fmt.Errorf("%w: particulars", like.err)
		if like.err == nil {
			err = os.ErrInvalid
		}
		w := httptest.NewRecorder()
		d.refuse(w, httptest.NewRequest("POST", "/v1/publish/messages", nil), m, err)
		fmt.Fprintf(&got, "%d\n", w.Code)
		for _, h := range []string{"Content-Type", "Retry-After", "WWW-Authenticate", "Allow", "Accept-Encoding"} {
			if v := w.Header().Get(h); v != "" {
				fmt.Fprintf(&got, "%s: %s\n", h, v)
			}
		}
		fmt.Fprintf(&got, "\n%s\n", w.Body)
	}
	file := filepath.Join("testdata", "problems.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestMain sees that neither the door nor its tests leave anything running,
// and that openapi.json knows every answer that was given.
func TestMain(m *testing.M) { goleak.VerifyTestMain(judged{m}) }
