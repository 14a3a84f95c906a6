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

// bugTries is how many drills a bug gets, each with the next seed: that two
// processes meet at the wrong moment no seed can promise.
const bugTries = 3

// bugsLane shows that the drill bites: every seeded bug is caught by the
// checker as it is, and the same scenario with the same seed finds nothing in
// the program without the bug. A patch that does not build, a bug that is not
// caught, and a control that is red are failures.
func bugsLane(t *testing.T) {
	first := *bugsSeed
	if first == 0 {
		first = rand.Uint64()
	}
	t.Logf("seed %d", first)
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
			row := bugRow{scenario: scenarioOf(t, s.scenario), seed: first}
			if row.bug, err = readBug(s.bug); err != nil {
				t.Fatal(err)
			}
			row.catch(t)
			key := fmt.Sprint(s.scenario, row.seed)
			if _, ok := controls[key]; !ok {
				controls[key] = row.scenario.drill(within(t, bugDeadline), control, row.seed, testWriter{t})
			}
			row.without = controls[key]
			t.Logf("without it:   %s", row.without.inWords())
			if !row.without.green() {
				t.Errorf("%q finds something in the program as it is: %s", s.scenario, row.without.inWords())
			}
			table = append(table, row)
		})
	}
	t.Log("\n" + table.text())
	if *bugsTable == "" {
		return
	}
	if err := os.WriteFile(*bugsTable, table.markdown(first), 0o644); err != nil {
		t.Error(err)
	}
}

// catch builds the bug and drills it until it is caught.
func (row *bugRow) catch(t *testing.T) {
	t.Helper()
	broken, err := row.bug.build(within(t, bugDeadline), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for row.tries = 1; ; row.tries++ {
		row.with = row.scenario.drill(within(t, bugDeadline), broken, row.seed, testWriter{t})
		t.Logf("with the bug: %s", row.with.inWords())
		switch {
		case row.with.err != nil:
			t.Errorf("%s: %v", row.bug.name, row.with.err)
			return
		case row.with.red():
			return
		case row.tries == bugTries:
			t.Errorf("%s is not caught by %q: %s", row.bug.name, row.scenario.name, row.with.inWords())
			return
		}
		row.seed++
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
	seed          uint64 // that caught it, or the last one
	tries         int    // how many seeds it took
	with, without caught
}

// text is the table for a terminal.
func (table bugTable) text() string {
	var b strings.Builder
	for _, row := range table {
		fmt.Fprintf(&b, "%s (%s)\n", row.bug.name, row.scenario.faults())
		fmt.Fprintf(&b, "    caught:  %t, in drill %d: %s\n", row.with.red(), row.tries, row.with.inWords())
		fmt.Fprintf(&b, "    control: %s\n", row.without.inWords())
	}
	fmt.Fprintf(&b, "%d of %d caught", table.caught(), len(table))
	return b.String()
}

// markdown is the table for the documents.
func (table bugTable) markdown(first uint64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Written by the lane bugs, see drill/bugs/README.md. Do not edit. -->\n\n")
	fmt.Fprintf(&b, "| bug | what it breaks | faults that catch it | what the checker said | the program as it is |\n|---|---|---|---|---|\n")
	for _, row := range table {
		said := row.with.inWords()
		if row.tries > 1 {
			said = fmt.Sprintf("(in the %d. drill) %s", row.tries, said)
		}
		if !row.with.red() {
			said = "**not caught**: " + said
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", row.bug.name, cell(row.bug.about), cell(row.scenario.faults()),
			cell(said), cell(row.without.verdict.Proof()))
	}
	fmt.Fprintf(&b, "\n%d of %d caught, seed %d.\n", table.caught(), len(table), first)
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
	text := sc.name + ": " + strings.Join(sc.names(), " + ")
	if sc.unique {
		text += ", bad messages refused as by a unique key"
	}
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
