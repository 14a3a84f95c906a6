package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever the file holds, loading ends with a configuration that keeps every
// rule, or with problems that each say where.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "../cluster.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "127.0.0.1:1")
	}
	f.Add(minimal, "x")
	f.Add(strings.ReplaceAll(minimal, "127.0.0.1", "${V}"), "0.0.0.0")
	f.Add(strings.ReplaceAll(minimal, "cluster: c", "cluster: ${V:-${V?x}}$$"), "a\nb: c")
	f.Add("a: b   \n\tc: \u00e4\u00f6 \n", "")
	f.Add("{a: [b, {c: \"d\ne\"}]}", "")
	f.Fuzz(func(t *testing.T, text, variable string) {
		doc := &document{file: "cluster.yaml", env: envOf(map[string]string{"V": variable, "DATABASE_URL": variable})}
		c := doc.load(text)
		for _, p := range doc.problems {
			if p.Line < 1 || p.Line > len(doc.lines) || p.Column < 1 || p.Message == "" {
				t.Errorf("a problem that does not say what and where: %+v", p)
			}
		}
		_ = doc.problems.Error()
		if len(doc.problems) == 0 {
			checkInvariants(t, c)
		}
	})
}

func checkInvariants(t *testing.T, c *Config) {
	t.Helper()
	if c == nil {
		t.Fatal("neither a configuration nor a problem")
	}
	if len(c.Nodes) == 0 || len(c.Nodes)%2 == 0 || len(c.Streams) == 0 {
		t.Errorf("%d nodes, %d streams", len(c.Nodes), len(c.Streams))
	}
	if !plainName.MatchString(c.Name) || c.Data == "" || c.Sync != "always" {
		t.Errorf("name %q, data %q, sync %q", c.Name, c.Data, c.Sync)
	}
	if e := c.ElectionTimeout; e != 0 && (e < 200*time.Millisecond || e > 30*time.Second) {
		t.Errorf("election timeout %s", e)
	}
	if strings.Count(c.MessagesTable, ".") != 1 {
		t.Errorf("table %q", c.MessagesTable)
	}
	seen := map[string]bool{}
	for _, n := range c.Nodes {
		if !plainName.MatchString(n.Name) || filepath.Base(c.DataDir(n.Name)) != n.Name {
			t.Errorf("node %q", n.Name)
		}
		for _, a := range []string{n.Client, n.Route, n.HTTP} {
			if a == "" || seen[a] {
				t.Errorf("address %q is empty or there twice", a)
			}
			seen[a] = true
			bind := n.Bind(a)
			if c.Token == "" && !c.AllowInsecure && !strings.HasPrefix(bind, "127.") &&
				!strings.HasPrefix(strings.ToLower(bind), "localhost") && !strings.HasPrefix(bind, "[") {
				t.Errorf("%s is open to the network", bind)
			}
		}
	}
	for _, s := range c.Streams {
		if s.Name == "" || len(s.Subjects) == 0 || s.MaxBytes < 1<<20 || s.ReplayWindow < time.Second ||
			s.DuplicateWindow <= 0 || s.DuplicateWindow > s.ReplayWindow {
			t.Errorf("stream %+v", s)
		}
		for _, subject := range s.Subjects {
			literal := strings.NewReplacer("*", "w", ">", "w.w").Replace(subject)
			for _, other := range c.Streams {
				if other.Takes(literal) != (other.Name == s.Name) {
					t.Errorf("%s of %s goes to %s, or to none", literal, s.Name, other.Name)
				}
			}
		}
	}
	if _, err := parseDatabase(c.Postgres.URL); err != nil {
		t.Error(err)
	}
}
