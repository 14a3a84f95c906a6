package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"landfall/mapping"
)

// noEnv is an environment without any variable.
func noEnv(string) (string, bool) { return "", false }

func envOf(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// loadText writes text as a cluster.yaml of its own and loads it.
func loadText(t *testing.T, text string, vars map[string]string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, envOf(vars))
}

func mustLoad(t *testing.T, text string, vars map[string]string) *Config {
	t.Helper()
	c, err := loadText(t, text, vars)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const minimal = `
cluster: c
nodes: { n1: { client: 127.0.0.1:4231, route: 127.0.0.1:6231, http: 127.0.0.1:8231 } }
streams: { S: { subjects: [s] } }
`

func shipped(path string) *Config {
	return &Config{
		Path: path,
		Name: "landfall",
		Nodes: []Node{
			{Name: "n1", Client: "127.0.0.1:4231", Route: "127.0.0.1:6231", HTTP: "127.0.0.1:8231"},
			{Name: "n2", Client: "127.0.0.1:4232", Route: "127.0.0.1:6232", HTTP: "127.0.0.1:8232"},
			{Name: "n3", Client: "127.0.0.1:4233", Route: "127.0.0.1:6233", HTTP: "127.0.0.1:8233"},
		},
		Data:            "./data",
		Sync:            "always",
		ElectionTimeout: time.Second,
		Streams: []Stream{{
			Name: "MESSAGES", Subjects: []string{"messages", "messages.>"},
			MaxBytes: 4 << 30, ReplayWindow: 72 * time.Hour, DuplicateWindow: 30 * time.Second,
		}},
		Postgres:      Postgres{URL: "postgres://app:app@127.0.0.1:55432/app", Migrate: true},
		MessagesTable: "public.messages",
	}
}

// copied puts a file of the repository where no .env of a developer is beside it.
func copied(t *testing.T, edit func(string) string) string {
	t.Helper()
	text, err := os.ReadFile("../cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte(edit(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestShippedFile(t *testing.T) {
	t.Parallel()
	path := copied(t, func(s string) string { return s })
	c, err := Load(path, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shipped(path), c); diff != "" {
		t.Error(diff)
	}
}

// The optional keys of the shipped file work as they stand there, and show
// their defaults.
func TestShippedFileOptionalKeys(t *testing.T) {
	t.Parallel()
	path := copied(t, func(s string) string {
		for _, key := range []string{"duplicate_window: 30s", "migrate: on", "migrate_url: postgres", "messages_table: ",
			"auth:\n", "  token: $", "allow_insecure: "} {
			if !strings.Contains(s, "# "+key) {
				t.Errorf("the file does not show %q", key)
			}
			s = strings.Replace(s, "# "+key, key, 1)
		}
		return strings.Replace(s, "#   token", "  token", 1)
	})
	c, err := Load(path, envOf(map[string]string{"LANDFALL_TOKEN": "correct-horse"}))
	if err != nil {
		t.Fatal(err)
	}
	want := shipped(path)
	want.Token = "correct-horse"
	want.Postgres.MigrateURL = "postgres://owner:...@127.0.0.1:5432/app"
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, minimal, nil)
	want := &Config{
		Path: c.Path, Name: "c",
		Nodes: []Node{{Name: "n1", Client: "127.0.0.1:4231", Route: "127.0.0.1:6231", HTTP: "127.0.0.1:8231"}},
		Data:  "./data", Sync: "always", ElectionTimeout: time.Second,
		Streams: []Stream{{Name: "S", Subjects: []string{"s"}, MaxBytes: 4 << 30,
			ReplayWindow: 72 * time.Hour, DuplicateWindow: 30 * time.Second}},
		Postgres:      Postgres{URL: "postgres://app:app@127.0.0.1:55432/app", Migrate: true},
		MessagesTable: "public.messages",
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	c = mustLoad(t, minimal, map[string]string{"DATABASE_URL": "host=db dbname=app"})
	if c.Postgres.URL != "host=db dbname=app" {
		t.Errorf("DATABASE_URL is not followed: %q", c.Postgres.URL)
	}
}

// What is written otherwise than in the shipped file, and means something.
func TestValues(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
cluster: "${NAME}"
nodes:
  a: { client: "a.example:${PORT}", route: "[2001:db8::1]:6231", http: localhost:8231, admin: "a.example:8331", listen: "::" }
data: /var/lib/landfall
sync: ${SYNC:-always}
election_timeout: 0
streams:
  A: { subjects: [orders.*.new, "orders.*.old.>"], max_bytes: 1048576, replay_window: 10s }
  B: { subjects: [x], max_bytes: "${SIZE:-512MiB}", replay_window: 90m, duplicate_window: 2m }
postgres:
  url: |
    postgresql://u@h1:5432,h2/db?target_session_attrs=read-write
  migrate: off
messages_table: inbox
auth: { token: "a$$b$c\\${PORT}" }
allow_insecure: "${INSECURE-true}"
`, map[string]string{"NAME": "x", "PORT": "4222"})
	want := &Config{
		Path: c.Path, Name: "x",
		Nodes: []Node{{Name: "a", Client: "a.example:4222", Route: "[2001:db8::1]:6231", HTTP: "localhost:8231", Admin: "a.example:8331", Listen: "::"}},
		Data:  "/var/lib/landfall", Sync: "always",
		Streams: []Stream{
			{Name: "A", Subjects: []string{"orders.*.new", "orders.*.old.>"}, MaxBytes: 1 << 20,
				ReplayWindow: 10 * time.Second, DuplicateWindow: 10 * time.Second},
			{Name: "B", Subjects: []string{"x"}, MaxBytes: 512 << 20,
				ReplayWindow: 90 * time.Minute, DuplicateWindow: 2 * time.Minute},
		},
		Postgres:      Postgres{URL: "postgresql://u@h1:5432,h2/db?target_session_attrs=read-write"},
		MessagesTable: "public.inbox",
		Token:         `a$b$c\4222`,
		AllowInsecure: true,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "cluster.yaml"), noEnv)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("got %v", err)
	}
	_, err = Load(t.TempDir(), noEnv)
	var problems *Problems
	if err == nil || errors.As(err, &problems) {
		t.Errorf("a directory gave %v", err)
	}
}

func TestFileTooLarge(t *testing.T) {
	t.Parallel()
	_, err := loadText(t, minimal+"#"+strings.Repeat("x", maxFileSize), nil)
	if err == nil || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("got %v", err)
	}
}

// Windows line ends and a byte order mark are no reason to refuse a file.
func TestLineEnds(t *testing.T) {
	t.Parallel()
	mustLoad(t, "\ufeff"+strings.ReplaceAll(minimal, "\n", "\r\n"), nil)
	_, err := loadText(t, "\ufeff"+strings.ReplaceAll(minimal+"x: y\n", "\n", "\r\n"), nil)
	var problems *Problems
	if !errors.As(err, &problems) || len(*problems) != 1 || (*problems)[0].Line != 5 || strings.Contains(err.Error(), "\r") {
		t.Errorf("got %v", err)
	}
}

// A table of the user's own, with everything that can be said of it.
func TestLoadATable(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
cluster: c
nodes: { n1: { client: 127.0.0.1:4231, route: 127.0.0.1:6231, http: 127.0.0.1:8231 } }
keep: 720h
streams:
  ORDERS:
    subjects: ["orders.>"]
    table: shop.Orders
    mode: upsert
    key: [id, "Shop"]
    columns:
      customer: $.customer.id
      region: subject[2]
      "odd name": header["X-Odd"]
      note: none
  EVENTS: { subjects: [events], table: events }
  REST: { subjects: [rest] }
`, nil)
	want := &Table{Schema: "shop", Name: "Orders", Mode: Upsert, Key: []string{"id", "Shop"}}
	for _, column := range [][2]string{{"customer", "$.customer.id"}, {"region", "subject[2]"}, {"odd name", `header["X-Odd"]`}} {
		source, err := mapping.ParseSource(column[1])
		if err != nil {
			t.Fatal(err)
		}
		want.Columns = append(want.Columns, Column{Name: column[0], Source: source})
	}
	want.Columns = append(want.Columns, Column{Name: "note", Left: true})
	if diff := cmp.Diff(want, c.Streams[0].Table); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&Table{Schema: "public", Name: "events", Mode: Append}, c.Streams[1].Table); diff != "" {
		t.Error(diff)
	}
	if c.Streams[2].Table != nil || c.Keep != 720*time.Hour {
		t.Error(c.Streams[2].Table, c.Keep)
	}
}

// Rows must not go before their messages do.
func TestKeepOutlastsTheReplayWindow(t *testing.T) {
	t.Parallel()
	file := func(keep string) string {
		return strings.ReplaceAll(minimal, "streams: { S: { subjects: [s] } }", `streams:
  S: { subjects: [s], replay_window: 24h }
  T: { subjects: [t], replay_window: 1h }
  OWN: { subjects: [o], table: own }
keep: `+keep)
	}
	for keep, problem := range map[string]string{
		"forever": "", "24h": "",
		"23h59m": "keep: is shorter than the replay_window of stream S, 24h: a row stays at least as long as its message stays in the stream; keep rows longer, or set streams.S.replay_window to no more than 23h59m",
	} {
		_, err := loadText(t, file(keep), nil)
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%s: %v", keep, err)
		}
	}
}
