package drill

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports are chosen below the range from which the kernel takes the local ends
// of outgoing connections (Linux from 32768, others higher). Otherwise a
// client's connection could sit on the port of a killed node when it starts
// again, or, dialling that port while nobody listens, meet itself.
const (
	lowPort  = 18000
	highPort = 32000
)

// freePorts returns n distinct loopback ports that nobody listens on now. Only
// a listener could hold them, so whoever binds them must be ready to lose the
// race and ask again.
func freePorts(n int) ([]int, error) {
	held := make([]net.Listener, 0, n)
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	ports := make([]int, 0, n)
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := lowPort + rand.IntN(highPort-lowPort)
		l, err := net.Listen("tcp", loopback(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find free ports: %w", err)
		}
		held = append(held, l)
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("find free ports: %d of %d found between %d and %d", len(ports), n, lowPort, highPort)
}

// portTaken tells whether somebody listens on an address now.
func portTaken(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE)
	}
	l.Close()
	return false
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
