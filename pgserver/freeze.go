package pgserver

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
)

// frozen is a server whose processes are halted, and a process that stands by
// for the case that this one dies: the kernel's request to shut down would
// wait in a halted postmaster for ever.
type frozen struct {
	standby *exec.Cmd
	alive   io.Closer // our end of its standard input
}

// letGo has the processes given as arguments go on when its input ends, which
// it does at the latest with whoever holds the other end.
const letGo = `read -r _; kill -CONT "$@"`

// Freeze halts the postmaster and all its processes where they stand, as on a
// machine that has no time for them: clients hear nothing, not even that they
// are refused. Thaw, Shutdown and Stop let them go on, and so does the end of
// this process.
func (s *Server) Freeze() error {
	s.op.Lock()
	defer s.op.Unlock()
	p := s.proc.Load()
	if p == nil || p.ended() {
		return errors.New("freeze the private Postgres: it does not run")
	}
	if s.frozen != nil {
		return nil
	}
	if err := s.freeze(p); err != nil {
		return errors.Join(fmt.Errorf("freeze the private Postgres: %w", err), s.thaw())
	}
	return nil
}

// freeze halts the postmaster first, so that its children become no more. A
// stop takes effect a little after it is sent: one that was just being made is
// found the next time.
func (s *Server) freeze(p *postmaster) error {
	p.signal(syscall.SIGSTOP)
	var halted []int
	for looks, more := 0, []int(nil); looks < 2 || len(more) > 0; looks++ {
		pids, err := children(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		more = slices.DeleteFunc(pids, func(pid int) bool { return slices.Contains(halted, pid) })
		for _, pid := range more {
			_ = syscall.Kill(pid, syscall.SIGSTOP) // one that has ended needs none
		}
		halted = append(halted, more...)
	}
	args := []string{"-c", letGo, "sh", strconv.Itoa(p.cmd.Process.Pid)}
	for _, pid := range halted {
		args = append(args, strconv.Itoa(pid))
	}
	standby := exec.Command("sh", args...)
	standby.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	in, err := standby.StdinPipe()
	if err != nil {
		return err
	}
	if err := standby.Start(); err != nil {
		return err
	}
	s.frozen = &frozen{standby, in}
	return nil
}

// Thaw lets a frozen server go on; another is left as it is.
func (s *Server) Thaw() error {
	s.op.Lock()
	defer s.op.Unlock()
	return s.thaw()
}

func (s *Server) thaw() error {
	p := s.proc.Load()
	if p == nil || p.ended() {
		s.forget()
		return nil
	}
	// The halted postmaster has collected nobody, so no number in the list
	// belongs to anybody else.
	pids, err := children(p.cmd.Process.Pid)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	p.signal(syscall.SIGCONT)
	s.forget()
	if err != nil {
		return fmt.Errorf("thaw the private Postgres: %w", err)
	}
	return nil
}

// forget dismisses the process that stands by.
func (s *Server) forget() {
	if s.frozen == nil {
		return
	}
	_ = s.frozen.standby.Process.Kill() // it ends one way or the other
	_ = s.frozen.alive.Close()
	_ = s.frozen.standby.Wait()
	s.frozen = nil
}
