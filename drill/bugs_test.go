package drill

import (
	"bytes"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	onlyBugs  = flag.String("bugs", "", "of the lane bugs, only these `names`, with commas between them")
	bugsSeed  = flag.Uint64("bugs-seed", 0, "`seed` of the lane bugs' drills; 0: a fresh one")
	bugsTable = flag.String("bugs-table", "", "`file` that the lane bugs writes its table to, in Markdown")
)

// TestSeededBugsApply holds the patches against the code as it is: each still
// fits, its code can still be read, and has a scenario. The lane bugs builds
// and runs them.
func TestSeededBugsApply(t *testing.T) {
	t.Parallel()
	var known []string
	for _, s := range seededBugs() {
		known = append(known, s.bug)
		t.Run(s.bug, func(t *testing.T) {
			t.Parallel()
			sc := scenarioOf(t, s.scenario)
			if _, err := sc.acts(rand.New(rand.NewPCG(1, 1))); err != nil {
				t.Error(err)
			}
			b, err := readBug(s.bug)
			if err != nil {
				t.Fatal(err)
			}
			copies, err := b.apply(within(t, dropDeadline), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for original, changed := range copies {
				if filepath.Ext(changed) != ".go" {
					continue
				}
				if _, err := parser.ParseFile(token.NewFileSet(), changed, nil, parser.SkipObjectResolution); err != nil {
					t.Errorf("%s: %v", original, err)
				}
			}
		})
	}
	patches, err := filepath.Glob(filepath.Join(bugsDir, "*.patch"))
	if err != nil || len(patches) == 0 {
		t.Fatalf("no patches: %v", err)
	}
	for _, path := range patches {
		if name := strings.TrimSuffix(filepath.Base(path), ".patch"); !slices.Contains(known, name) {
			t.Errorf("%s has no scenario", path)
		}
	}
}

func scenarioOf(t *testing.T, name string) scenario {
	t.Helper()
	all := scenarios()
	i := slices.IndexFunc(all, func(sc scenario) bool { return sc.name == name })
	if i < 0 {
		t.Fatalf("there is no scenario %q", name)
	}
	return all[i]
}

// bugsLane shows that the drill bites: every seeded bug is caught by the
// checker as it is, and the same scenario with the same seed finds nothing in
// the program without the bug. A patch that does not build, a bug that is not
// caught, and a control that is red are failures.
func bugsLane(t *testing.T) {
	seed := *bugsSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	control, err := program()
	if err != nil {
		t.Fatal(err)
	}
	only := strings.FieldsFunc(*onlyBugs, func(r rune) bool { return r == ',' })
	controls := make(map[string]caught)
	var table bugTable
	for _, s := range seededBugs() {
		if len(only) > 0 && !slices.Contains(only, s.bug) {
			continue
		}
		t.Run(s.bug, func(t *testing.T) {
			b, err := readBug(s.bug)
			if err != nil {
				t.Fatal(err)
			}
			broken, err := b.build(within(t, bugDeadline), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			sc := scenarioOf(t, s.scenario)
			got := sc.drill(within(t, bugDeadline), broken, seed, testWriter{t})
			t.Logf("with the bug: %s", got.inWords())
			if !got.red() {
				t.Errorf("%s is not caught by %q: %s", s.bug, sc.name, got.inWords())
			}
			plain, ok := controls[sc.name]
			if !ok {
				plain = sc.drill(within(t, bugDeadline), control, seed, testWriter{t})
				controls[sc.name] = plain
			}
			t.Logf("without it:   %s", plain.inWords())
			if !plain.green() {
				t.Errorf("%q finds something in the program as it is: %s", sc.name, plain.inWords())
			}
			table = append(table, bugRow{b, sc, got, plain})
		})
	}
	t.Log("\n" + table.text())
	if *bugsTable == "" {
		return
	}
	if err := os.WriteFile(*bugsTable, table.markdown(seed), 0o600); err != nil {
		t.Error(err)
	}
}

// testWriter writes a drill's story into the test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// bugTable is what the lane shows.
type bugTable []bugRow

type bugRow struct {
	bug           seededBug
	scenario      scenario
	with, without caught
}

// text is the table for a terminal.
func (table bugTable) text() string {
	var b strings.Builder
	for _, row := range table {
		fmt.Fprintf(&b, "%-28s %-36s %s\n%66s %s\n", row.bug.name, row.scenario.faults(), row.with.inWords(), "control:", row.without.inWords())
	}
	return b.String()
}

// markdown is the table for the documents.
func (table bugTable) markdown(seed uint64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Written by `go test ./drill -run Lane -lane bugs -bugs-table FILE`. Do not edit. -->\n\n")
	fmt.Fprintf(&b, "| bug | what it breaks | faults that catch it | what the checker said | without the bug, same seed |\n|---|---|---|---|---|\n")
	for _, row := range table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", row.bug.name, cell(row.bug.about), cell(row.scenario.faults()),
			cell(row.with.inWords()), cell(row.without.inWords()))
	}
	fmt.Fprintf(&b, "\n%d of %d caught, seed %d.\n", table.caught(), len(table), seed)
	return b.Bytes()
}

func (table bugTable) caught() (n int) {
	for _, row := range table {
		if row.with.red() {
			n++
		}
	}
	return n
}

// cell keeps a text within its cell.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }

// faults names the scenario's faults, and what else is special.
func (sc scenario) faults() string {
	text := strings.Join(sc.names(), " + ")
	if sc.keyless {
		text += ", the table without its keys"
	}
	if sc.maxBytes != "" {
		text += ", max_bytes " + sc.maxBytes
	}
	if sc.keys != "" {
		text += ", " + sc.keys
	}
	return text
}
