package drill

import "syscall"

// dieWithParent has the kernel kill a child when its parent dies, even of a
// kill -9. A process group of its own keeps a terminal's Ctrl-C away from it:
// the parent decides who ends, and in which order.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
