//go:build !linux

package store

import "syscall"

// dialControl does nothing: TCP_USER_TIMEOUT is Linux's; keepalives remain.
func dialControl(string, string, syscall.RawConn) error { return nil }
