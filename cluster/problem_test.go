package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each bad file is refused with exactly the text beside it. With
// UPDATE_GOLDEN set, the texts are written anew; read what changed.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	env := envOf(map[string]string{"TOKEN": "topsecret!", "SECRET": "mysql://app:topsecret@h/db"})
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			c, err := Load(file, env)
			var problems *Problems
			if !errors.As(err, &problems) || c != nil {
				t.Fatalf("got %v, %v", c, err)
			}
			got := strings.ReplaceAll(filepath.ToSlash(err.Error()), "testdata/bad/", "") + "\n"
			for _, secret := range []string{"hunter", "topsecret"} {
				if strings.Contains(got, secret) {
					t.Errorf("%q leaks", secret)
				}
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
