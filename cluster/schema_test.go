package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// compiled is the schema as a validator has it.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("cluster.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cluster.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if s.DraftVersion != 2020 {
		t.Errorf("draft %d", s.DraftVersion)
	}
	return s
}

// judge validates a YAML text, as an editor reads it.
func judge(s *jsonschema.Schema, text string) error {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(plain)); err != nil {
		return err
	}
	return s.Validate(v)
}

// Every description of a cluster that the repository ships is fine.
func TestSchemaTakesTheExamples(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	files := []string{"../cluster.yaml"}
	for _, pattern := range []string{"../deploy/*cluster*.yaml", "../deploy/*/*cluster*.yaml", "../examples/*cluster*.yaml"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("cluster:")) && !bytes.Contains(text, []byte("\ncluster:")) {
			continue // of another kind, such as Kubernetes'
		}
		seen++
		if err := judge(s, string(text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if seen == 0 {
		t.Error("there is no example")
	}
	for _, text := range append(inConfigMaps(t), minimal, everything) {
		if err := judge(s, text); err != nil {
			t.Error(err)
		}
	}
}

// inConfigMaps are the files that the Kubernetes examples hold.
func inConfigMaps(t *testing.T) (texts []string) {
	t.Helper()
	files, err := filepath.Glob("../deploy/kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var manifest struct{ Data map[string]string }
			err := documents.Decode(&manifest)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if held, ok := manifest.Data["cluster.yaml"]; ok {
				texts = append(texts, held)
			}
		}
	}
	return texts
}

// everything has every key, each with its default if it has one.
const everything = `
cluster: c
nodes: { n1: { client: 127.0.0.1:4231, route: 127.0.0.1:6231, http: 127.0.0.1:8231, admin: 127.0.0.1:8331, listen: 127.0.0.1 } }
data: ./data
sync: always
election_timeout: 1s
streams: { S: { subjects: [s], max_bytes: 4GiB, replay_window: 72h, duplicate_window: 30s, table: t, mode: upsert, key: [id], columns: { a: $.b } } }
postgres: { url: "host=db", migrate: on, migrate_url: "host=db" }
messages_table: public.messages
keep: forever
auth: { token: "correct-horse" }
allow_insecure: false
`

// object is a JSON object of the schema.
type object = map[string]any

// sections are the parts of the schema that list keys, by where they stand.
func sections(t *testing.T) map[string]object {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root object
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	all := map[string]object{}
	var walk func(place string, s object)
	walk = func(place string, s object) {
		if properties, ok := s["properties"].(object); ok {
			all[place] = s
			for name, p := range properties {
				walk(strings.TrimPrefix(place+"."+name, "."), p.(object))
			}
		}
		if each, ok := s["additionalProperties"].(object); ok {
			walk(place+".*", each)
		}
	}
	walk("", root)
	return all
}

// The schema knows the decoder's keys and no other, says what each is for, and
// calls the same ones required: without one of them Load says that it is
// missing.
func TestSchemaHasTheDecodersKeys(t *testing.T) {
	t.Parallel()
	decoders := map[string][]string{"": rootKeys(), "nodes.*": nodeKeys(), "streams.*": streamKeys(), "postgres": postgresKeys(), "auth": authKeys()}
	found := sections(t)
	if len(found) != len(decoders) {
		t.Errorf("sections %v", slices.Sorted(maps.Keys(found)))
	}
	s := compiled(t)
	for place, keys := range decoders {
		section := found[place]
		properties, _ := section["properties"].(object)
		if diff := cmp.Diff(slices.Sorted(slices.Values(keys)), slices.Sorted(maps.Keys(properties))); diff != "" {
			t.Errorf("%s: %s", place, diff)
		}
		if open, known := section["additionalProperties"].(bool); open || !known {
			t.Errorf("%s takes unknown keys", place)
		}
		for name, p := range properties {
			if p := p.(object); p["title"] == nil || p["description"] == nil {
				t.Errorf("%s.%s does not say what it is for", place, name)
			}
			without := withoutKey(t, place, name)
			_, err := loadText(t, without, nil)
			missing := err != nil && strings.Contains(err.Error(), "missing")
			if refused := judge(s, without) != nil; refused != missing {
				t.Errorf("%s.%s: Load misses it: %v, the schema: %v", place, name, missing, refused)
			}
		}
	}
}

// withoutKey is a file that lacks one key.
func withoutKey(t *testing.T, place, name string) string {
	t.Helper()
	var doc object
	if err := yaml.Unmarshal([]byte(everything), &doc); err != nil {
		t.Fatal(err)
	}
	at := doc
	for _, part := range strings.FieldsFunc(place, func(r rune) bool { return r == '.' }) {
		if part == "*" {
			part = slices.Collect(maps.Keys(at))[0]
		}
		at = at[part].(object)
	}
	if _, ok := at[name]; !ok {
		t.Fatalf("the file with everything has no %s.%s", place, name)
	}
	delete(at, name)
	text, err := json.Marshal(doc) // is YAML
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The defaults that editors show are those that Load takes.
func TestSchemaHasTheDecodersDefaults(t *testing.T) {
	t.Parallel()
	var doc object
	if err := yaml.Unmarshal([]byte(minimal), &doc); err != nil {
		t.Fatal(err)
	}
	parts := map[string]object{"": doc, "streams.*": doc["streams"].(object)["S"].(object), "nodes.*": {}, "postgres": {}, "auth": {}}
	n := 0
	for place, section := range sections(t) {
		for name, p := range section["properties"].(object) {
			if value, ok := p.(object)["default"]; ok {
				parts[place][name] = value
				n++
			}
		}
	}
	doc["postgres"] = parts["postgres"]
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	want, got := mustLoad(t, minimal, nil), mustLoad(t, string(text), nil)
	got.Path = want.Path
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n != 11 {
		t.Errorf("%d defaults", n)
	}
}

// What is wrong with the shape of a file, the schema sees too. Only what takes
// a look at two places, or at variables, is Load's alone.
func TestSchemaRefusesBadFiles(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	loadsAlone := []string{"beyond_loopback", "clashes", "secrets"}
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no bad files", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if err := judge(s, string(text)); err == nil && !slices.Contains(loadsAlone, name) {
			t.Errorf("%s is refused by Load and not by the schema", name)
		}
	}
}

// One slip at a time, so that none hides behind another.
func TestSchemaRefusesEachSlip(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	for _, slip := range []struct{ old, new string }{
		{"cluster: c", "clustr: c"},
		{"cluster: c", "cluster: 12"},
		{"cluster: c", "cluster: land fall"},
		{"cluster: c", "cluster:"},
		{"n1:", "../n1:"},
		{"127.0.0.1:4231", "127.0.0.1"},
		{"127.0.0.1:4231", `":4231"`},
		{"127.0.0.1:4231", "4231"},
		{"127.0.0.1:4231", "127.0.0.1:http"},
		{"listen: 127.0.0.1", "listen: a b"},
		{"http: 127", "htpp: 127"},
		{"data: ./data", `data: ""`},
		{"data: ./data", "data: { dir: ./data }"},
		{"sync: always", "sync: interval"},
		{"sync: always", "sync: true"},
		{"timeout: 1s", "timeout: 1000"},
		{"timeout: 1s", "timeout: 1 parsec"},
		{"timeout: 1s", "timeout: 1"},
		{"S: {", "a.b: {"},
		{"S: {", "$A: {"},
		{"[s]", "s"},
		{"[s]", "[]"},
		{"[s]", "[7]"},
		{"[s]", "[a.>.b]"},
		{"[s]", `["*.x"]`},
		{"[s]", "[a..b]"},
		{"[s]", "[a.b*]"},
		{"[s]", "[$JS.API.x]"},
		{"[s]", "[a, a]"},
		{"4GiB", "4Gi"},
		{"4GiB", "64000"},
		{"4GiB", "4.5"},
		{"4GiB", "-5"},
		{"72h", "3d"},
		{"72h", "-1h"},
		{"72h", "72"},
		{"30s", "soon"},
		{"migrate: on", "migrate: maybe"},
		{"migrate: on", "migrate: true"},
		{"postgres: {", "postgres: off #"},
		{`url: "host=db"`, `url: mysql://db`},
		{"public.messages", "Public.Messages"},
		{"public.messages", "[messages]"},
		{"correct-horse", "short"},
		{`"correct-horse"`, "12345678"},
		{"allow_insecure: false", `allow_insecure: "yes"`},
		{"allow_insecure: false", "allow_insecure: 0"},
	} {
		text := strings.Replace(everything, slip.old, slip.new, 1)
		if text == everything {
			t.Fatalf("%q is not there", slip.old)
		}
		var problems *Problems
		if _, err := loadText(t, text, nil); !errors.As(err, &problems) {
			t.Errorf("Load takes %q", slip.new)
		}
		if err := judge(s, text); err == nil {
			t.Errorf("the schema takes %q", slip.new)
		}
	}
}

// Whatever Load takes, the schema takes: an editor that underlines what is
// fine is worse than none.
func TestSchemaIsNeverStricterThanLoad(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	all := sections(t)
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		text := draw(t, all, "", 0)
		doc := &document{file: "cluster.yaml", env: envOf(map[string]string{"V": rapid.SampledFrom(words()).Draw(t, "V"), "DATABASE_URL": "host=db"})}
		doc.load(text)
		if len(doc.problems) > 0 {
			return
		}
		taken++
		if err := judge(s, text); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	})
	if taken == 0 {
		t.Errorf("Load took no file")
	}
}

// draw makes a section of a file out of its keys.
func draw(t *rapid.T, all map[string]object, place string, depth int) string {
	section := all[place]
	required, _ := section["required"].([]any)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(section["properties"].(object))) {
		if !slices.Contains(required, any(name)) && rapid.Bool().Draw(t, "leave out "+name) {
			continue
		}
		b.WriteString("\n" + strings.Repeat("  ", depth) + name + ": ")
		at := strings.TrimPrefix(place+"."+name, ".")
		switch {
		case all[at] != nil:
			b.WriteString(draw(t, all, at, depth+1))
		case all[at+".*"] != nil:
			b.WriteString("\n" + strings.Repeat("  ", depth+1) + "N1: " + draw(t, all, at+".*", depth+2))
		default:
			b.WriteString(rapid.SampledFrom(values(name)).Draw(t, name))
		}
	}
	return b.String()
}

// values are ways to write the value of a key, most of them fine.
func values(key string) []string {
	// Of the places that need a port each has its own.
	port := map[string]string{"client": "4231", "route": "6231", "http": "8231", "admin": "8331"}[key]
	switch key {
	case "client", "route", "http", "admin":
		return []string{"127.0.0.1:" + port, `"[::1]:` + port + `"`, "localhost:0" + port, "127.0.0.1:${V:-" + port + "}", `"` + "${V}:" + port + `"`, "|\n        127.0.0.1:" + port, `"[localhost]:` + port + `"`}
	case "listen":
		return []string{"localhost", `"::1"`, "127.0.0.1", "${V}", "0.0.0.0"}
	case "subjects":
		return []string{"[a]", "[a, b.*]", `["a.>", "${V}x"]`, "[a$b, b$$]", "[ä.ö, 'a.*.b']", "\n      - a\n      - |\n        b", "[_a]", "[a$$b]"}
	case "max_bytes":
		return []string{"1048576", "4 GiB", "4GiB", "01GB", "'2000000'", "1MiB", "2000KiB", "10000000B", "${V}", "1125899906842624", ">-\n        4MiB"}
	case "election_timeout":
		return []string{"0", "'0'", "1s", "1.5s", ".5s", "1.s", "+1s", "-0", "'-0s'", "'+0'", "200ms", "1s500ms", "300000µs", "300000us", "|\n  2s", "${V:-1s}", "'0h0m'"}
	case "replay_window", "duplicate_window":
		return []string{"1h", "90m", "+2h", "1h0.5m", "36000s", "${V}", "${V-1h}", ">\n        3h", "7200000000000ns"}
	case "migrate":
		return []string{"on", "off", `"on"`, "${V}", "|\n    off"}
	case "sync":
		return []string{"always", "'always'", "|\n  always", "${V:-always}"}
	case "url", "migrate_url":
		return []string{"postgres://h/d", "postgresql://u:p@h:5432,i/d", "host=h dbname='d'", "|\n    host=h", "${V}", "${NO:-host=h}", "postgres://u:a$b@h/d"}
	case "keep":
		return []string{"forever", "720h", "'forever'", "${V}", "+1h", "|\n  forever"}
	case "table":
		return []string{"t", "Shop.Orders", "a.b", "${V}", "ä.ö", "|\n        t"}
	case "mode":
		return []string{"append", "upsert", "'keep_first'", "${NO:-upsert}"}
	case "key":
		return []string{"[id]", "[a, B c]", "['${V}', x1]"}
	case "columns":
		return []string{"{ a: $.b, c: $ }", "{ 'odd name': 'subject[2]', s: message.seq }", "{ h: 'header[\"X\"]' }", "{ a: '$$.b' }", "{}"}
	case "messages_table":
		return []string{"m", "a.b", "_a._b1", "${V}", "|\n  x.y"}
	case "token":
		return []string{"correct-horse", "'${V}'", `"a$$bcdefg"`, "|\n    correct-horse", "${NO:-correct-horse}", "12345678x"}
	case "allow_insecure":
		return []string{"true", "false", "True", `"${V:-true}"`, "${NO-false}"}
	case "data":
		return []string{"/d", "a b", "${V}", "~/x", "|\n  /d", "${NO:-/d}", "-x"}
	case "cluster":
		return []string{"c", "'1'", "${V}", "${NO:-c}", "a-b_C9", "|\n  c", "no", "1c"}
	}
	return nil
}

func words() []string {
	return []string{"localhost", "1GB", "1h", "on", "host=h", "m", "true", "always", "correct-horse", "x"}
}
