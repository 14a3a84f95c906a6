//go:build !linux

package drill

import "syscall"

// dieWithParent can promise nothing here: only Linux kills a child with its
// parent. A parent that ends in any way but kill -9 still ends its children
// itself.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
