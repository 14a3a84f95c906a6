package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// initialize makes the cluster and its database beside their final place and
// moves them there when they are whole, so that a start that was cut short
// leaves nothing that looks like a cluster.
func (s *Server) initialize(ctx context.Context) error {
	fresh := s.dir.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove the remains of an earlier start: %w", err)
	}
	if err := s.dir.owner.mkdir(fresh); err != nil {
		return err
	}
	if err := s.initdb(ctx, fresh); err != nil {
		return err
	}
	if err := s.createDatabase(ctx, fresh); err != nil {
		return err
	}
	if err := s.letNetworksIn(fresh); err != nil {
		return err
	}
	return os.Rename(fresh, s.dir.data())
}

// initdb makes an empty cluster whose superuser is the options' user. Locale C
// is everywhere and sorts fast; the encoding is UTF-8 all the same.
func (s *Server) initdb(ctx context.Context, data string) error {
	password := filepath.Join(s.dir.path, "password.new")
	if err := s.dir.owner.writeFile(password, s.options.Password+"\n"); err != nil {
		return fmt.Errorf("hand the password to initdb: %w", err)
	}
	defer os.Remove(password)
	args := []string{
		"-D", data, "--username=" + s.options.User, "--pwfile=" + password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
	}
	if s.dir.temporary {
		// Nothing of it has to survive a power cut before the server runs.
		args = append(args, "--no-sync")
	}
	return s.command(ctx, data, "", "initdb", args...)
}

// createDatabase makes the options' database in single-user mode, which needs
// neither a client program nor a port.
func (s *Server) createDatabase(ctx context.Context, data string) error {
	if s.options.Database == "postgres" || s.options.Database == "template1" {
		return nil
	}
	return s.command(ctx, data, "CREATE DATABASE "+quoteIdentifier(s.options.Database)+"\n",
		"postgres", "--single", "-D", data, "-c", "exit_on_error=on", "postgres")
}

// letNetworksIn adds to what initdb wrote, which lets in this machine alone.
func (s *Server) letNetworksIn(data string) error {
	if s.options.Listen == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("let the network in: %w", err)
	}
	_, err = f.WriteString("host all all samenet scram-sha-256\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("let the network in: %w", err)
	}
	return nil
}

// command runs a server program as the cluster's owner until it ends. An error
// carries what the program said.
func (s *Server) command(ctx context.Context, dir, stdin, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, s.binaries.path(program), args...)
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = s.dir.owner.attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w%s", program, err, tail(out.String()))
	}
	return nil
}

// tail is the end of a program's output, as the continuation of an error.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) > 6 {
		lines = lines[len(lines)-6:]
	}
	if s := strings.Join(lines, "\n"); s != "" {
		return ":\n" + s
	}
	return ""
}

// quoteIdentifier writes a name so that SQL takes it as it is.
func quoteIdentifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// psql returns the client program, or an error that says what is missing.
func (s *Server) psql() (string, error) {
	if path := s.binaries.path("psql"); executable(path) {
		return path, nil
	}
	path, err := exec.LookPath("psql")
	if err != nil {
		return "", errors.New("the PostgreSQL client program psql is not installed")
	}
	return path, nil
}

// PSQL is a complete command line that opens a session on the server's
// database, for people to copy.
func (s *Server) PSQL() string {
	program := "psql"
	if _, err := exec.LookPath(program); err != nil {
		if path, err := s.psql(); err == nil {
			program = path
		}
	}
	return program + " '" + strings.ReplaceAll(s.URL(), "'", "%27") + "'"
}

// SQL runs statements through psql and returns what they print: one line a
// row, columns separated by "|". It is for preparing and looking; programs
// have a driver.
func (s *Server) SQL(ctx context.Context, database, statements string) (string, error) {
	psql, err := s.psql()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
		"-f", "-", s.URLFor(database))
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(statements)
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w%s", err, tail(trouble.String()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}
