package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	env := envOf(map[string]string{"A": "a value", "EMPTY": "", "DOLLAR": "${A} $$ \\x"})
	for _, c := range []struct{ text, want, wrong string }{
		{text: "plain", want: "plain"},
		{text: "${A}", want: "a value"},
		{text: "<${A}${A}>", want: "<a valuea value>"},
		{text: "${DOLLAR}", want: "${A} $$ \\x"}, // what a variable holds is not read again
		{text: "${NO:-default}", want: "default"},
		{text: "${EMPTY:-default}", want: "default"},
		{text: "${EMPTY-default}", want: ""},
		{text: "${EMPTY}", want: ""},
		{text: "${NO:-${A}}", want: "a value"},
		{text: "${NO:-}", want: ""},
		{text: "${NO:-postgres://u:p@[::1]:5432/db?x=y}", want: "postgres://u:p@[::1]:5432/db?x=y"},
		{text: "${A?not needed}", want: "a value"},
		{text: "$$", want: "$"},
		{text: "$${A}", want: "${A}"},
		{text: "pa$word $1 $( $", want: "pa$word $1 $( $"},
		{text: `a\$b\\c\${A}\`, want: `a\$b\\c\a value\`},
		{text: "${NO}", wrong: "variable NO is not set"},
		{text: "${NO:-${ALSO}}", wrong: "variable ALSO is not set"},
		{text: "${NO?say why}", wrong: "variable NO is not set: say why"},
		{text: "${NO?}", wrong: "variable NO is not set"},
		{text: "${NO:?say why}", wrong: "cannot read"},
		{text: "${A", wrong: "cannot read"},
		{text: "${}", wrong: "cannot read"},
		{text: "${A:0:1}", wrong: "pieces"},
		{text: "${A:1:9223372036854775807}", wrong: "pieces"},
		{text: "${A}\x00", wrong: "NUL"},
	} {
		got, err := expand(c.text, env)
		switch {
		case c.wrong == "" && (err != nil || got != c.want):
			t.Errorf("%s: got %q, %v, want %q", c.text, got, err, c.want)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: got %q, %v, want an error with %q", c.text, got, err, c.wrong)
		}
	}
}

// Whatever a variable holds stays one value: it cannot add keys or lists.
func TestExpansionKeepsStructure(t *testing.T) {
	t.Parallel()
	text := strings.Replace(minimal, "[s]", `["${S}"]`, 1)
	for _, evil := range []string{"a]\nallow_insecure: true", "a, b", `a", "b`, "[a]", "a: b"} {
		c, err := loadText(t, text, map[string]string{"S": evil})
		if err == nil && (len(c.Streams[0].Subjects) != 1 || c.AllowInsecure) {
			t.Errorf("%q became %+v", evil, c)
		}
	}
	if c := mustLoad(t, text, map[string]string{"S": "a,b"}); c.Streams[0].Subjects[0] != "a,b" {
		t.Errorf("got %q", c.Streams[0].Subjects)
	}
}

func TestDotEnv(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "cluster.yaml")
	text := strings.Replace(minimal, "cluster: c", "cluster: ${A}-${B}${EMPTY}", 1)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cluster.yaml", text)
	write(".env", "# what the environment lacks\nexport A=file\nB='file'\nEMPTY=file\n\nDATABASE_URL=postgres://h/from_file\n")
	c, err := Load(path, envOf(map[string]string{"B": "environment", "EMPTY": ""}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "file-environment" || c.Postgres.URL != "postgres://h/from_file" {
		t.Errorf("got %q and %q", c.Name, c.Postgres.URL)
	}

	write(".env", "A=1\nB=\"two\nlines\"\nhunter22 is no variable\nC=3\n")
	_, err = Load(path, noEnv)
	var problems *Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	first := (*problems)[0]
	if filepath.Base(first.File) != ".env" || first.Line != 4 || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("got %v", err)
	}
	if len(*problems) < 2 {
		t.Errorf("the problems of cluster.yaml are not told along: %v", err)
	}
}

// Without a lookup the environment of the process is used. Not parallel: it
// sets a variable of the process.
func TestProcessEnvironment(t *testing.T) {
	t.Setenv("LANDFALL_TEST_NAME", "process")
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	text := strings.Replace(minimal, "cluster: c", "cluster: ${LANDFALL_TEST_NAME}", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil)
	if err != nil || c.Name != "process" {
		t.Errorf("got %+v, %v", c, err)
	}
}
