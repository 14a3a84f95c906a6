package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFileSize is far beyond any real cluster.yaml; a larger file is another one.
const maxFileSize = 1 << 20

// Load reads and checks a cluster.yaml. Variables come from env, which is
// os.LookupEnv if nil, and then from a file .env beside cluster.yaml. Whatever
// is wrong with the contents is reported at once, as *Problems.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	if env == nil {
		env = os.LookupEnv
	}
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	doc := &document{file: path}
	dotEnv, problem, err := withDotEnv(filepath.Join(filepath.Dir(path), ".env"), env)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		doc.problems = append(doc.problems, *problem)
	}
	doc.env = dotEnv
	c := doc.load(content)
	if len(doc.problems) > 0 {
		doc.problems.sort()
		return nil, &doc.problems
	}
	c.Path = path
	return c, nil
}

// load reads the content; the configuration holds only if it noted no problem.
func (d *document) load(content string) *Config {
	content = strings.TrimPrefix(content, "\ufeff")
	for line := range strings.SplitSeq(content, "\n") {
		d.lines = append(d.lines, strings.TrimSuffix(line, "\r"))
	}
	root, ok := d.parse(content)
	if !ok {
		return nil
	}
	return d.decode(root)
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no configuration at %s: name one with --config FILE, or start from the cluster.yaml of Landfall's repository: %w",
			path, fs.ErrNotExist)
	}
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	if len(content) > maxFileSize {
		return "", fmt.Errorf("read configuration: %s is larger than 1 MiB, which no cluster.yaml is", path)
	}
	return string(content), nil
}
