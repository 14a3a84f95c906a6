package pgserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second // recovery after a kill may take a while
	stopTimeout  = 20 * time.Second // a fast shutdown writes a checkpoint
	// settleTimeout is how long what an earlier postmaster left behind (a
	// process that is just ending, its port, its shared memory) may keep a new
	// one from starting.
	settleTimeout = 3 * time.Second
)

// run starts the postmaster and waits until it is ready. A port that was
// chosen here and lost to somebody else is chosen again. An early end is tried
// again as long as settle allows, because it may be the predecessor's remains.
func (s *Server) run(ctx context.Context, settle time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("not ready after %v, see %s", startTimeout, s.dir.log()))
	defer cancel()
	settled := time.Now().Add(settle)
	for {
		port, err := s.choosePort()
		if err == nil {
			if err = s.runOn(ctx, port); err == nil {
				s.port.Store(int64(port))
				return nil
			}
			var early *earlyEnd
			if !errors.As(err, &early) {
				return err
			}
			if portFree(port) != nil {
				continue
			}
		}
		if time.Now().After(settled) {
			return err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// choosePort returns the wanted port, if it is free, or a free one. Free ones
// are taken from below the range from which systems give out ports to outgoing
// connections: while the server is down for a drill, such a connection could
// otherwise sit on its port, or even connect to itself.
func (s *Server) choosePort() (int, error) {
	want := s.Port()
	if want == 0 {
		want = s.options.Port
	}
	if want != 0 {
		if err := portFree(want); err != nil {
			return 0, fmt.Errorf("port %d cannot be had (another Postgres?): %w", want, err)
		}
		return want, nil
	}
	var err error
	for range 100 {
		port := 15000 + rand.IntN(15000)
		if err = portFree(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// portFree says why the loopback port cannot be listened on.
func portFree(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// runOn makes one attempt at starting the postmaster.
func (s *Server) runOn(ctx context.Context, port int) error {
	log, closeLog, err := s.log()
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer closeLog() // the postmaster has its own copy
	before := s.dir.logSize()

	cmd := exec.Command(s.binaries.path("postgres"), s.arguments(port)...)
	cmd.Dir = s.dir.data()
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = s.dir.owner.attributes()
	stopWithParent(cmd.SysProcAttr)
	// Processes of a killed postmaster may hold the log a little longer.
	cmd.WaitDelay = 2 * time.Second

	p, err := launch(cmd)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	if err := s.awaitReady(ctx, p, before); err != nil {
		return errors.Join(err, p.kill())
	}
	s.proc.Store(p)
	return nil
}

// awaitReady waits until the postmaster writes into its pid file that it is
// ready. That needs no client program, which may not be installed.
func (s *Server) awaitReady(ctx context.Context, p *postmaster, logBefore int64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pid, status := s.dir.pidFile()
		if pid == p.cmd.Process.Pid && status == "ready" {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			if pid != 0 && pid != p.cmd.Process.Pid && syscall.Kill(pid, 0) == nil {
				return &earlyEnd{fmt.Errorf("the directory is in use by another Postgres, process %d", pid)}
			}
			return &earlyEnd{fmt.Errorf("postgres ended while starting: %w%s", p.err, s.dir.logTail(logBefore))}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// earlyEnd is the error of a postmaster that ended before it was ready.
type earlyEnd struct{ error }

func (e *earlyEnd) Unwrap() error { return e.error }

// Shutdown stops the server the ordinary way (sessions are ended, a checkpoint
// is written) and keeps its directory, so that Restart can follow.
func (s *Server) Shutdown() error {
	s.op.Lock()
	defer s.op.Unlock()
	return s.shutdown()
}

func (s *Server) shutdown() error {
	p := s.proc.Load()
	if p == nil {
		return nil
	}
	p.signal(syscall.SIGINT)
	thawed := s.thaw()
	select {
	case <-p.done:
		return thawed
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("postgres did not stop within %v, killed it", stopTimeout), p.kill(), thawed)
	}
}

// Kill ends the postmaster and all its processes with SIGKILL, without a
// checkpoint or a word to its clients, and returns when they are gone. Restart
// can follow.
func (s *Server) Kill() error {
	s.op.Lock()
	defer s.op.Unlock()
	defer s.forget()
	if p := s.proc.Load(); p != nil {
		return p.kill()
	}
	return nil
}

// Restart starts the server again after Shutdown or Kill, on the same port and
// directory, and returns when it accepts connections. A running server is left
// as it is.
func (s *Server) Restart(ctx context.Context) error {
	s.op.Lock()
	defer s.op.Unlock()
	if s.dir.closed() {
		return errors.New("restart the private Postgres: it was stopped for good")
	}
	if p := s.proc.Load(); p != nil && !p.ended() {
		return nil
	}
	if err := s.run(ctx, settleTimeout); err != nil {
		return fmt.Errorf("restart the private Postgres: %w", err)
	}
	return nil
}

// Stop shuts the server down for good and removes a temporary directory. It
// may be called more than once.
func (s *Server) Stop() error {
	s.op.Lock()
	defer s.op.Unlock()
	return errors.Join(s.shutdown(), s.dir.close())
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
