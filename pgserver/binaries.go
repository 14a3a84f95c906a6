package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNoBinaries is the error of a machine without a Postgres server.
var ErrNoBinaries = errors.New("no PostgreSQL server found on this machine; " +
	"install one (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql), " +
	"or start one with: docker compose up postgres")

// binaries is an installed Postgres server.
type binaries struct {
	dir     string
	version int // major
}

func (b binaries) path(program string) string {
	return filepath.Join(b.dir, program)
}

// findBinaries returns the server programs to use: those of the given major
// version, which an existing cluster needs, or with 0 the first on PATH, or
// else the newest installed.
func findBinaries(ctx context.Context, version int) (binaries, error) {
	var found []string
	for _, dir := range candidates(ctx) {
		b := binaries{dir: dir}
		if !executable(b.path("initdb")) || !executable(b.path("postgres")) {
			continue
		}
		var err error
		if b.version, err = majorVersion(ctx, b.path("postgres")); err != nil {
			return binaries{}, err
		}
		if version == 0 || version == b.version {
			return b, nil
		}
		found = append(found, fmt.Sprintf("%d in %s", b.version, dir))
	}
	if len(found) > 0 {
		return binaries{}, fmt.Errorf("its data was made by PostgreSQL %d, but installed is only %s",
			version, strings.Join(found, ", "))
	}
	return binaries{}, ErrNoBinaries
}

// candidates lists directories that may hold the server's programs: where
// PATH leads (through links: a directory of links to single programs is
// common, and initdb looks for its neighbours), what pg_config says, and where
// packages put them, newest first.
func candidates(ctx context.Context) []string {
	var dirs []string
	add := func(dir string) {
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, program := range []string{"initdb", "postgres"} {
		if path, err := exec.LookPath(program); err == nil {
			if path, err = filepath.EvalSymlinks(path); err == nil {
				add(filepath.Dir(path))
			}
		}
	}
	// pg_config may belong to a client library alone; whether the programs
	// are really there is looked at later.
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		add(strings.TrimSpace(string(out)))
	}
	var installed []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                            // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                     // PGDG on Red Hat
		"/usr/lib/postgresql*/bin", "/usr/libexec/postgresql*", // SUSE, Gentoo, Alpine
		"/opt/homebrew/opt/postgresql@*/bin",                      // Homebrew on ARM
		"/usr/local/opt/postgresql@*/bin",                         // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",         //
		"/Applications/Postgres.app/Contents/Versions/[0-9]*/bin", //
		"/usr/local/pgsql*/bin",                                   // built from source
	} {
		dirs, _ := filepath.Glob(pattern) // the only error is a bad pattern
		installed = append(installed, dirs...)
	}
	slices.SortStableFunc(installed, func(a, b string) int { return pathVersion(b) - pathVersion(a) })
	for _, dir := range installed {
		add(dir)
	}
	return dirs
}

// pathVersion is the version in the name of a directory, as a number: 9 comes
// before 15.
func pathVersion(path string) int {
	n, _ := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(path)) // none: 0, comes last
	return n
}

// majorVersion asks a program such as postgres for its major version.
func majorVersion(ctx context.Context, program string) (int, error) {
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("run %s --version: %w", program, err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"; betas: "18beta1".
	_, number, _ := strings.Cut(string(out), ") ")
	n, err := strconv.Atoi(regexp.MustCompile(`^\d+`).FindString(number))
	if err != nil {
		return 0, fmt.Errorf("version of %s: %q is not understood", program, out)
	}
	return n, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
