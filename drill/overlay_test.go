package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// seededBug is a patch to the shipped code that breaks a promise.
type seededBug struct {
	name  string   // of its file in bugs/, without .patch
	about string   // the patch's first line
	files []string // that it touches, from the module's root
	patch []byte
}

// bugsDir is where the patches are, from this directory.
const bugsDir = "bugs"

// readBug reads the patch of a name. Its first line says what it breaks, and
// is no part of the diff.
func readBug(name string) (seededBug, error) {
	patch, err := os.ReadFile(filepath.Join(bugsDir, name+".patch"))
	if err != nil {
		return seededBug{}, fmt.Errorf("read bug %s: %w", name, err)
	}
	about, _, _ := strings.Cut(string(patch), "\n")
	b := seededBug{name: name, about: about, patch: patch}
	for line := range strings.Lines(string(patch)) {
		if file, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "+++ b/"); ok {
			b.files = append(b.files, file)
		}
	}
	switch {
	case about == "" || strings.HasPrefix(about, "diff "):
		return b, fmt.Errorf("read bug %s: its first line does not say what it breaks", name)
	case len(b.files) == 0:
		return b, fmt.Errorf("read bug %s: it touches no file", name)
	}
	return b, nil
}

// moduleRoot is where the patches' paths begin: tests run in the directory of
// their package.
func moduleRoot() (string, error) { return filepath.Abs("..") }

// apply puts the bug into copies of the files that it touches, below dir, and
// returns where each file's copy is. A patch that does not fit exactly is an
// error.
func (b seededBug) apply(ctx context.Context, dir string) (copies map[string]string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, fmt.Errorf("apply bug %s: %w", b.name, err)
	}
	copies = make(map[string]string)
	for _, file := range b.files {
		original, to := filepath.Join(root, file), filepath.Join(dir, file)
		text, err := os.ReadFile(original)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o700)
		}
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("apply bug %s: %w", b.name, err)
		}
		copies[original] = to
	}
	cmd := exec.CommandContext(ctx, "git", "apply", "--whitespace=nowarn", "-")
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(b.patch)
	// Inside a repository git would leave out what is not below its root.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("apply bug %s: the code has moved on: mend the patch: %w\n%s", b.name, err, out)
	}
	return copies, nil
}

// build builds the program with the bug in it, and returns its path in dir.
// Nothing is written anywhere else: the compiler is told to read the copies.
func (b seededBug) build(ctx context.Context, dir string) (string, error) {
	copies, err := b.apply(ctx, filepath.Join(dir, "source"))
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": copies})
	if err != nil {
		return "", fmt.Errorf("build bug %s: %w", b.name, err)
	}
	list, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "app")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", fmt.Errorf("build bug %s: %w", b.name, err)
	}
	// Without tables for debuggers a program is linked in half the time.
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-ldflags=-s -w", "-o", program, "landfall")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build bug %s: %w\n%s", b.name, errors.Join(err, ctx.Err()), out)
	}
	return program, nil
}
