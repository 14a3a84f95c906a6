package pgtest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Pooler puts a transaction pooler before the database at server, as PgBouncer
// is one in transaction mode, and returns the connection string through it:
// each transaction gets the session that was given back last. It lets everybody
// in. It ends with the test.
func Pooler(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &pooler{server: server, clients: map[net.Conn]bool{}}
	p.running.Go(func() { p.accept(ctx, l) })
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		p.close()
		p.running.Wait()
	})
	u.Host = l.Addr().String()
	return u.String()
}

type pooler struct {
	server  string
	running sync.WaitGroup

	mu      sync.Mutex
	idle    []*pgconn.HijackedConn
	clients map[net.Conn]bool
	closed  bool
}

func (p *pooler) accept(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.clients[conn] = true
		closed := p.closed
		p.mu.Unlock()
		if closed {
			_ = conn.Close()
			return
		}
		p.running.Go(func() {
			defer conn.Close()
			_ = p.serve(ctx, conn) // the client sees it
		})
	}
}

func (p *pooler) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for c := range p.clients {
		_ = c.Close()
	}
	for _, s := range p.idle {
		_ = s.Conn.Close()
	}
}

// serve is one client's session.
func (p *pooler) serve(ctx context.Context, conn net.Conn) error {
	client := pgproto3.NewBackend(conn, conn)
	if err := welcome(client, conn); err != nil {
		return err
	}
	var server *pgconn.HijackedConn
	defer func() {
		if server != nil {
			_ = server.Conn.Close()
		}
	}()
	for {
		m, err := client.Receive()
		if err != nil {
			return err
		}
		if _, ends := m.(*pgproto3.Terminate); ends {
			return nil
		}
		if server == nil {
			if server, err = p.take(ctx); err != nil {
				return err
			}
		}
		server.Frontend.Send(m)
		switch m.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
		default:
			continue
		}
		idle, err := relay(client, server.Frontend)
		if err != nil {
			return err
		}
		if idle {
			p.give(server)
			server = nil
		}
		if err := client.Flush(); err != nil {
			return err
		}
	}
}

// welcome greets a client.
func welcome(client *pgproto3.Backend, conn net.Conn) error {
	for {
		m, err := client.ReceiveStartupMessage()
		if err != nil {
			return err
		}
		switch m.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := conn.Write([]byte("N")); err != nil {
				return err
			}
		case *pgproto3.StartupMessage:
			client.Send(&pgproto3.AuthenticationOk{})
			client.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
			client.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
			client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
			client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			return client.Flush()
		default:
			return errors.New("no session is wanted")
		}
	}
}

// relay hands the server's answers on, and tells whether its session is free
// afterwards.
func relay(client *pgproto3.Backend, server *pgproto3.Frontend) (idle bool, err error) {
	if err := server.Flush(); err != nil {
		return false, err
	}
	for {
		m, err := server.Receive()
		if err != nil {
			return false, err
		}
		client.Send(m)
		if ready, ok := m.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus == 'I', nil
		}
	}
}

func (p *pooler) take(ctx context.Context) (*pgconn.HijackedConn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	c, err := pgconn.Connect(ctx, p.server)
	if err != nil {
		return nil, err
	}
	return c.Hijack()
}

func (p *pooler) give(s *pgconn.HijackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = s.Conn.Close()
		return
	}
	p.idle = append(p.idle, s)
}
