package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"landfall/cluster"
)

// inspectWithin bounds connecting, and each question: whoever asks sits there
// and waits.
const inspectWithin = 5 * time.Second

// Inspection is a session that looks at a database before a cluster relies on
// it. It changes nothing. What it finds are facts; what they mean is for the
// caller to say.
type Inspection struct {
	Took  time.Duration // to connect
	Local bool          // the server is on this machine
	TLS   bool

	conn *pgx.Conn
}

// ErrConnectionString says that pgx cannot read a connection string. Its text
// holds nothing of the string, which may hold a password.
var ErrConnectionString = errors.New("the connection string cannot be read")

// Inspect connects to the database at url.
func Inspect(ctx context.Context, url string) (*Inspection, error) {
	cc, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnectionString, reasonAlone(err))
	}
	if cc.ConnectTimeout == 0 || cc.ConnectTimeout > inspectWithin {
		cc.ConnectTimeout = inspectWithin
	}
	cc.RuntimeParams["application_name"] = "landfall validate"
	// A pooler may give each transaction another session, in which a prepared
	// statement would not be known.
	cc.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	onlyWritable(cc)
	began := time.Now()
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, err
	}
	i := &Inspection{Took: time.Since(began), conn: conn}
	_, i.TLS = conn.PgConn().Conn().(*tls.Conn)
	i.Local = isLocal(conn.PgConn().Conn().RemoteAddr())
	return i, nil
}

// reasonAlone is why a connection string cannot be read, without the string.
func reasonAlone(err error) error {
	var parse *pgconn.ParseConfigError
	var inURL *url.Error
	switch {
	case errors.As(err, &inURL):
		return inURL.Err
	case errors.As(err, &parse) && errors.Unwrap(parse) != nil:
		return errors.Unwrap(parse)
	default:
		return errors.New("a part of it is not known to the driver")
	}
}

func isLocal(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback() // not TCP: a socket in the file system
}

// Close ends the session.
func (i *Inspection) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = i.conn.Close(ctx)
}

// SQLState is the code with which Postgres refused, or "" if it was not
// Postgres: the network, a timeout.
func SQLState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// Sessions is how many sessions a node has at most.
func Sessions(c *cluster.Config) (int, error) {
	s, err := Open(c, "validate")
	if err != nil {
		return 0, err
	}
	defer s.Close()
	return int(s.pool.Config().MaxConns + s.probe.Config().MaxConns + s.asking.Config().MaxConns), nil
}

// Server is what a server says of itself and of the role that asks.
type Server struct {
	User, Database string
	Role           string // the user as SQL has it
	Place          string // tells two databases apart
	Version        int    // 150018
	Release        string // 15.18
	Encoding       string

	Standby         bool
	ReadOnly        bool // transactions are, unless they say otherwise
	Fsync           bool
	FullPageWrites  bool
	SessionLimit    int // what role, database and server allow, the least of them
	Sessions        int // there are, in the whole server, but for this one
	ClusterSessions int // of them this cluster's
}

// Server asks.
func (i *Inspection) Server(ctx context.Context, cluster string) (Server, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	var s Server
	err := i.conn.QueryRow(ctx, `SELECT current_user, current_database(), quote_ident(current_user),
			pg_postmaster_start_time() || ' ' || d.oid,
			current_setting('server_version_num')::integer, current_setting('server_version'), current_setting('server_encoding'),
			pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean,
			current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean,
			least(current_setting('max_connections')::integer
					- current_setting('superuser_reserved_connections')::integer
					- coalesce(current_setting('reserved_connections', true), '0')::integer,
				nullif(d.datconnlimit, -1), nullif(r.rolconnlimit, -1)),
			(SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND pid <> pg_backend_pid()),
			(SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, $1))
		FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = session_user`,
		applicationName(cluster, "")).
		Scan(&s.User, &s.Database, &s.Role, &s.Place, &s.Version, &s.Release, &s.Encoding, &s.Standby, &s.ReadOnly,
			&s.Fsync, &s.FullPageWrites, &s.SessionLimit, &s.Sessions, &s.ClusterSessions)
	return s, err
}

// Clock is by how much the server's clock is ahead of this machine's, and how
// much of that may be the way there and back.
func (i *Inspection) Clock(ctx context.Context) (ahead, uncertain time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	var theirs time.Time
	asked := time.Now()
	if err := i.conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return 0, 0, err
	}
	way := time.Since(asked) / 2
	return theirs.Sub(asked.Add(way)), way, nil
}

// Begins opens a transaction as the sink does, with its settings, and ends it.
func (i *Inspection) Begins(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	if err := i.conn.SendBatch(ctx, beginWith()).Close(); err != nil {
		return err
	}
	_, err := i.conn.Exec(ctx, "ROLLBACK")
	return err
}

// Shared tells whether a pooler gives sessions of the server to whichever
// transaction comes next, so that nothing of a session holds: no lock, no
// setting. It opens a second connection, and looks whether one's transaction
// takes the session that the other had.
func (i *Inspection) Shared(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWithin)
	defer cancel()
	other, err := pgx.ConnectConfig(ctx, i.conn.Config())
	if err != nil {
		return false, err
	}
	defer (&Inspection{conn: other}).Close()
	pid := func(c *pgx.Conn) (pid int, err error) {
		err = c.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid)
		return pid, err
	}
	for range 3 {
		mine, err := pid(i.conn)
		if err != nil {
			return false, err
		}
		if _, err := other.Exec(ctx, "BEGIN"); err != nil {
			return false, err
		}
		theirs, err := pid(other)
		if err != nil || theirs == mine {
			return err == nil, err
		}
		after, err := pid(i.conn)
		if err != nil || after != mine {
			return err == nil, err
		}
		if _, err := other.Exec(ctx, "ROLLBACK"); err != nil {
			return false, err
		}
	}
	return false, nil
}
