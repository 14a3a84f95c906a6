package store

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How many sessions a node has at most: one for each stream up to busySessions,
// beyond which streams take turns, and some for what is asked beside them.
// Questions about receipts come from outside, as many as there are clients, so
// they have a few sessions of their own and never one that a sink waits for.
// Postgres takes 100 in all unless told otherwise, and there are other nodes,
// and other programs.
const (
	busySessions   = 16
	spareSessions  = 4
	askingSessions = 3
)

// applicationName marks a node's sessions in pg_stat_activity. A session of our
// role whose name begins like those of our cluster and which blocks the cursor
// may be ended as a ghost; one that migrates the tables has another name, and
// is waited for.
func applicationName(cluster, node string) string {
	name := "landfall " + cluster + "/" + node
	return name[:min(len(name), 63)] // Postgres truncates at NAMEDATALEN
}

// configure makes connections notice a dead peer within seconds, on both
// sides: a server that vanished must not hold the sink, and a client that
// vanished must not hold the cursor's lock.
func configure(cfg *pgxpool.Config, application string, streams int) {
	cfg.MaxConns = int32(min(streams, busySessions) + spareSessions)
	cc := cfg.ConnConfig
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = 5 * time.Second
	}
	cc.RuntimeParams["application_name"] = application
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control:         dialControl,
	}
	cc.DialFunc = dialer.DialContext
	onlyWritable(cc)
	cc.OnPgError = keepSession(cc.OnPgError)
	cfg.AfterConnect = serverKeepalives
}

// onlyWritable has connections of several hosts made to the one that takes
// writes, after a failover too.
func onlyWritable(cc *pgx.ConnConfig) {
	// A single host has a fallback too, without TLS.
	others := slices.ContainsFunc(cc.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != cc.Host || f.Port != cc.Port })
	if others && cc.ValidateConnect == nil {
		cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
}

// keepSession has a session closed that may not write: it was made while the
// role, the database or the server was read-only, and would stay so for its
// whole life though a new one could write again.
func keepSession(otherwise pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(c *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnly && otherwise(c, err)
	}
}

// serverKeepalives has the server notice our death across a dead network.
// Unix sockets ignore these settings, and a pooler may refuse them: neither
// is a reason not to connect.
func serverKeepalives(ctx context.Context, c *pgx.Conn) error {
	for _, s := range []string{"tcp_keepalives_idle = 5", "tcp_keepalives_interval = 2", "tcp_keepalives_count = 3", "tcp_user_timeout = 15000"} {
		if _, err := c.Exec(ctx, "SET "+s, pgx.QueryExecModeSimpleProtocol); err != nil && c.IsClosed() {
			return err
		}
	}
	return nil
}

// transactionSettings are made inside each transaction (SET LOCAL), because
// settings of a session do not hold behind a transaction pooler.
const transactionSettings = `SELECT set_config('synchronous_commit', 'on', true),
	set_config('statement_timeout', $1, true),
	set_config('lock_timeout', $2, true),
	set_config('idle_in_transaction_session_timeout', $3, true)`

// milliseconds writes a duration the way Postgres reads a bare number.
func milliseconds(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10)
}
