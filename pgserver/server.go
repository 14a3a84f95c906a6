// Package pgserver starts a private Postgres from the binaries installed on
// this machine: for the demo, for tests, and for people without Docker. It
// finds initdb, makes a cluster in a directory of its own (as root it runs
// Postgres as another user, because Postgres refuses root), listens on a
// loopback port (and on the network if told to) with password authentication,
// and keeps fsync on, because what is proved with it is durability.
//
// A server ends with the process that started it. Stop is the ordinary way;
// on Linux the kernel also stops it when the process dies by SIGKILL.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Options say what kind of server to start. The zero value is a temporary one
// on a free port.
type Options struct {
	// Dir is where the server keeps its cluster (in Dir/data) and its log.
	// A cluster that is already there is used again, with the user, password
	// and database it was made with. "" means a temporary directory, which
	// Stop removes.
	Dir string

	// Port on 127.0.0.1; 0 means a free one.
	Port int

	// Listen is an address of this machine to listen on besides 127.0.0.1.
	// With it a new cluster lets in, with the password, whoever is on one of
	// the machine's own networks, so that a password must be given. "": nobody
	// but this machine.
	Listen string

	// User, Password and Database are made with the cluster; each defaults
	// to "app". The user is a superuser.
	User, Password, Database string

	// Settings are further server settings, such as max_connections.
	Settings map[string]string

	// Log takes the server's output; nil means the file Dir/postgres.log.
	Log io.Writer
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	for _, s := range []*string{&o.User, &o.Password, &o.Database} {
		if *s == "" {
			*s = "app"
		}
	}
	return o
}

// check refuses what could not be handed to initdb, which reads the password
// and the statement that creates the database as single lines.
func (o Options) check() error {
	for what, s := range map[string]string{"user": o.User, "password": o.Password, "database": o.Database} {
		if strings.ContainsAny(s, "\x00\r\n") {
			return fmt.Errorf("%s of the private Postgres: contains a line break or NUL", what)
		}
	}
	if o.Listen != "" {
		if _, err := netip.ParseAddr(o.Listen); err != nil {
			return fmt.Errorf("address of the private Postgres: %w", err)
		}
		if o.Password == "" {
			return errors.New("address of the private Postgres: the network is not let in without a password of its own")
		}
	}
	if o.Port < 0 || o.Port > 65535 {
		return fmt.Errorf("port of the private Postgres: %d is not a port", o.Port)
	}
	return nil
}

// Server is a private Postgres. Its methods may be called from several
// goroutines.
type Server struct {
	options  Options
	binaries binaries
	dir      *directory

	op     sync.Mutex                 // one Start, Shutdown, Kill, Freeze, Thaw, Restart or Stop at a time
	proc   atomic.Pointer[postmaster] // the latest postmaster, possibly ended
	port   atomic.Int64               // fixed with the first successful start
	frozen *frozen                    // nil: it is not; guarded by op
}

// Start makes the cluster if there is none, and returns when the server
// accepts connections. The context bounds only the starting; the server runs
// until Stop.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	dir, err := openDirectory(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("private Postgres: %w", err)
	}
	s := &Server{options: o, dir: dir}
	if err := s.prepareAndRun(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("private Postgres in %s: %w", dir.path, err), s.Stop())
	}
	return s, nil
}

// prepareAndRun finds the binaries that fit, makes the cluster and starts it.
// A port that cannot be had is refused before the work is done.
func (s *Server) prepareAndRun(ctx context.Context) error {
	version, err := s.dir.clusterVersion()
	if err != nil {
		return err
	}
	if s.binaries, err = findBinaries(ctx, version); err != nil {
		return err
	}
	if version != 0 {
		return s.run(ctx, settleTimeout)
	}
	if _, err := s.choosePort(); err != nil {
		return err
	}
	if err := s.initialize(ctx); err != nil {
		return err
	}
	return s.run(ctx, 0) // nobody was here before
}

// arguments for the postmaster. Settings of the caller come last and win.
func (s *Server) arguments(port int) []string {
	listen := "127.0.0.1"
	if s.options.Listen != "" {
		listen += "," + s.options.Listen
	}
	args := []string{
		"-D", s.dir.data(),
		"-c", "listen_addresses=" + listen,
		"-c", "port=" + strconv.Itoa(port),
		// The default directory is not writable for us on Debian, and
		// nothing here needs a socket file.
		"-c", "unix_socket_directories=",
		"-c", "fsync=on",
		"-c", "cluster_name=landfall",
	}
	for _, k := range slices.Sorted(maps.Keys(s.options.Settings)) {
		args = append(args, "-c", k+"="+s.options.Settings[k])
	}
	return args
}

// URL is the connection string of the server's own database.
func (s *Server) URL() string {
	return s.URLFor(s.options.Database)
}

// URLFor is the connection string of another database on the server.
func (s *Server) URLFor(database string) string { return s.url("127.0.0.1", database) }

// NetworkURL is the connection string of the server's own database for those
// who reach it at Options.Listen.
func (s *Server) NetworkURL() string { return s.url(s.options.Listen, s.options.Database) }

func (s *Server) url(host, database string) string {
	u := url.URL{
		Scheme: "postgres",
		User:   url.UserPassword(s.options.User, s.options.Password),
		Host:   net.JoinHostPort(host, strconv.Itoa(s.Port())),
		Path:   "/" + database,
	}
	return u.String()
}

// Port is the port on 127.0.0.1. It stays the same over Restart.
func (s *Server) Port() int {
	return int(s.port.Load())
}

// Dir is the directory that holds the cluster and, unless Options.Log took
// it, the log.
func (s *Server) Dir() string {
	return s.dir.path
}

// PID is the process id of the latest postmaster.
func (s *Server) PID() int {
	if p := s.proc.Load(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// Done is closed when the postmaster that runs now has ended, for whatever
// reason. After Restart there is a new channel.
func (s *Server) Done() <-chan struct{} {
	return s.proc.Load().done
}

// log returns where the server's output goes, and a function that closes it.
func (s *Server) log() (io.Writer, func(), error) {
	if s.options.Log != nil {
		return s.options.Log, func() {}, nil
	}
	f, err := os.OpenFile(s.dir.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}
