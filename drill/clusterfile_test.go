package drill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall/cluster"
)

func TestRender(t *testing.T) {
	t.Parallel()
	stock := time.Duration(0)
	got := File{
		Nodes: []Addresses{{"n1", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "0.0.0.0"}},
		Data:  "/tmp/with \"quotes\"/data", DatabaseURL: "postgres://u:p$x${HOME}@127.0.0.1:5/db",
		ElectionTimeout: &stock, StreamKeys: "replay_window: 1s",
		Streams: []string{"ORDERS: { subjects: [orders] }"}, Keys: "sync: always\n", Token: "a$b",
	}.Render()
	want := `cluster: drill
nodes:
  n1: { client: "127.0.0.1:1", route: "127.0.0.1:2", http: "127.0.0.1:3", listen: "0.0.0.0" }
data: "/tmp/with \"quotes\"/data"
election_timeout: 0
streams:
  MESSAGES: { subjects: [messages, "messages.>"], max_bytes: 1GiB, replay_window: 1s }
  ORDERS: { subjects: [orders] }
postgres: { url: "postgres://u:p$$x$${HOME}@127.0.0.1:5/db" }
auth: { token: "a$$b" }
sync: always
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLastTrouble(t *testing.T) {
	t.Parallel()
	calm := `{"level":"INFO","msg":"started"}` + "\n"
	bad := `{"level":"ERROR","msg":"disk"}` + "\n"
	late := `{"level":"WARN","msg":"late"}` + "\n"
	old := `{"level":"WARN","msg":"old"}` + "\n"
	for _, tc := range []struct {
		name, log string
		want      []string
	}{
		{"empty", "", nil},
		{"calm", calm + calm, []string{calm, calm}},
		{"errors", old + bad + late + bad + calm + bad, []string{late, bad}},
		{"panic", calm + bad + "panic: oh\n\ngoroutine 1\n", []string{"panic: oh\n", "goroutine 1\n", bad}},
		{"long", bad + strings.Repeat(calm, 2*logTail/len(calm)), []string{calm, calm}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(tc.log), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := lastTrouble(path, 2)
			if err != nil || strings.Join(got, "\n") != strings.TrimRight(strings.Join(tc.want, ""), "\n") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestFreePorts(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for _, p := range ports {
		if seen[p] || p < lowPort || p >= highPort {
			t.Errorf("port %d", p)
		}
		seen[p] = true
	}
}

// What is rendered is what the loader reads, whatever is in the database URL.
func TestRenderedFileLoads(t *testing.T) {
	t.Parallel()
	base, half := "postgres://u:%s@127.0.0.1:5/db", 500*time.Millisecond
	for _, password := range []string{"plain", "$x", "${HOME}", "$$", "a$", "%24", `back\slash`, `it's`, "sémaphore"} {
		path := filepath.Join(t.TempDir(), "cluster.yaml")
		f := File{
			Nodes: []Addresses{
				{"n1", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", ""},
				{"n2", "127.0.0.1:4", "127.0.0.1:5", "127.0.0.1:6", ""},
				{"n3", "127.0.0.1:7", "127.0.0.1:8", "127.0.0.1:9", ""},
			},
			Data: "/tmp/d", DatabaseURL: strings.Replace(base, "%s", password, 1), ElectionTimeout: &half, StreamKeys: "replay_window: 2s",
		}
		if err := os.WriteFile(path, []byte(f.Render()), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := cluster.Load(path, func(string) (string, bool) { return "expanded", true })
		if err != nil {
			t.Errorf("password %q: %v", password, err)
			continue
		}
		if c.Postgres.URL != f.DatabaseURL || c.ElectionTimeout != half || len(c.Nodes) != 3 || c.Data != "/tmp/d" ||
			c.Streams[0].Name != Stream || c.Streams[0].ReplayWindow != 2*time.Second || c.Streams[0].MaxBytes != 1<<30 {
			t.Errorf("password %q: loaded %+v", password, c)
		}
	}
}
