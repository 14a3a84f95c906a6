package pgserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFindBinaries(t *testing.T) {
	t.Parallel()
	b, err := findBinaries(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(b.path("postgres")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%s is no place of the programs themselves: %v", b.dir, err)
	}
	if same, err := findBinaries(t.Context(), b.version); err != nil || same.version != b.version {
		t.Errorf("version %d asked for: %+v, %v", b.version, same, err)
	}
	_, err = findBinaries(t.Context(), 7)
	if err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 7") {
		t.Errorf("version 7 asked for: %v", err)
	}
	for _, remedy := range []string{"apt-get install postgresql", "brew install postgresql", "docker compose up postgres"} {
		if !strings.Contains(ErrNoBinaries.Error(), remedy) {
			t.Errorf("%q does not name %q", ErrNoBinaries, remedy)
		}
	}
}

func TestPathVersion(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{
		"/usr/lib/postgresql/9.6/bin": 9, "/usr/lib/postgresql/15/bin": 15,
		"/opt/homebrew/opt/postgresql@17/bin": 17, "/usr/local/pgsql/bin": 0,
	} {
		if got := pathVersion(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: every directory of ours is reachable")
		if err := Reachable(t.TempDir()); err != nil {
			t.Error(err)
		}
		return
	}
	closed := filepath.Join(t.TempDir(), "closed") // below a directory with mode 0700
	if err := Reachable(filepath.Join(closed, "pg")); err == nil || !strings.Contains(err.Error(), "cannot enter") {
		t.Errorf("a closed directory: %v", err)
	}
	if _, err := Start(t.Context(), Options{Dir: closed}); err == nil || !strings.Contains(err.Error(), "cannot enter") {
		t.Errorf("start in a closed directory: %v", err)
	}
	if err := Reachable(filepath.Join(os.TempDir(), "landfall-not-there", "pg")); err != nil {
		t.Errorf("the temporary directory: %v", err)
	}
}

func TestSweepTakesOnlyWhatIsAbandoned(t *testing.T) {
	t.Parallel()
	make := func(age time.Duration) (dir, lock string) {
		dir, err := os.MkdirTemp("", temporaryPrefix)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		lock = filepath.Join(dir, "lock")
		if err := os.WriteFile(lock, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(lock, then, then); err != nil {
			t.Fatal(err)
		}
		return dir, lock
	}
	abandoned, _ := make(time.Hour)
	young, _ := make(time.Minute)
	held, lock := make(time.Hour)
	f, err := lockFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	sweep()
	if _, err := os.Stat(abandoned); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("abandoned directory: %v", err)
	}
	for _, dir := range []string{young, held} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}
