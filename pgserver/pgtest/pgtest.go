// Package pgtest gives tests a real Postgres: one private server for each test
// process, started when the first test asks for it, with a fresh database for
// each test. Where no Postgres is installed the tests fail; they are not
// skipped.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall/pgserver"
)

const timeout = time.Minute

// process is what the tests of this process share. It is package state because
// the tests of a package have nothing else in common that could own it; Main
// ends it.
var process fixture

// fixture is a server that is started when it is first needed.
type fixture struct {
	mu        sync.Mutex
	server    *pgserver.Server
	err       error
	databases int // so far; numbers them
}

// start returns the server and the next database's number. A start that failed
// is not tried again: the other tests need not wait for the same answer.
func (f *fixture) start() (*pgserver.Server, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server == nil && f.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		f.server, f.err = pgserver.Start(ctx, pgserver.Options{
			Settings: map[string]string{"max_connections": "300"},
		})
	}
	f.databases++
	return f.server, f.databases, f.err
}

// stop ends the server, if it was started.
func (f *fixture) stop() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server == nil {
		return nil
	}
	return f.server.Stop()
}

// Main runs the tests and then stops the server they shared:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// Without it, and where a test ends the process, the server ends with the
// process (on Linux), and its directory is removed by a later start.
func Main(m *testing.M) {
	m.Run()
	if err := process.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the tests' Postgres:", err)
	}
}

// Database makes an empty database on the shared server and returns its
// connection string. It is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	s, n, err := process.start()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("t%d_%s", n, plain(t.Name()))
	if err := run(s, `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run(s, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	return s.URLFor(name)
}

// plain makes a short name for a database out of a test's.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
	return name[:min(len(name), 40)]
}

func run(s *pgserver.Server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, err := s.SQL(ctx, "postgres", statement)
	return err
}

// Server starts a Postgres for this test alone, which may kill it and start it
// again. It is stopped when the test ends.
func Server(t testing.TB) *pgserver.Server {
	t.Helper()
	return Start(t, pgserver.Options{})
}

// Start is Server with options.
func Start(t testing.TB, o pgserver.Options) *pgserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s, err := pgserver.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Dir makes a directory in which a server can keep its files: t.TempDir does
// not do for root, because Postgres then runs as a user who cannot enter it.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "landfall-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "postgres")
}
