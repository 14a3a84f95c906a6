package process

import (
	"fmt"
	"syscall"
)

// minShare is the least number of connections that each door is given,
// however few files the process may open.
const minShare = 16

// connections is how many connections HTTP and NATS may have each: a third of
// the files this process may open. The rest is for the streams, which stop for
// good when they cannot open theirs. Go raises the soft limit to the hard one
// when a program starts.
func connections(files uint64) (int, error) {
	if files == 0 {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return 0, fmt.Errorf("ask how many files may be open: %w", err)
		}
		files = uint64(limit.Cur) //nolint:unconvert // its type differs between systems
	}
	const most = 64 << 10 // nats-server's own default for clients
	return int(min(max(files/3, minShare), most)), nil
}
