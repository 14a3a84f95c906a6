package drill

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// on runs f on a machine: what it opens belongs there for good.
func on(t *testing.T, m *Machines, name string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		done <- func() error {
			space, err := os.Open(filepath.Join("/run/netns", m.network.namespace(name)))
			if err != nil {
				return err
			}
			defer space.Close()
			if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			return f()
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// talker is a socket on a machine that says and hears single packets.
type talker struct {
	net.PacketConn
	t *testing.T
}

func newTalker(t *testing.T, m *Machines, name string) talker {
	t.Helper()
	machine, _ := m.machine(name)
	var conn net.PacketConn
	on(t, m, name, func() (err error) {
		conn, err = net.ListenPacket("udp4", net.JoinHostPort(machine.Address, "7000"))
		return err
	})
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return talker{conn, t}
}

// reaches tells whether what one says to another arrives. If it is expected to,
// it may take long: a busy machine has to find out where the other is.
func (from talker) reaches(to talker, expected bool) bool {
	from.t.Helper()
	began, patience := time.Now(), 100*time.Millisecond
	if expected {
		patience = 10 * time.Second
	}
	said := rand.Text() // what was said before may come late
	heard := make([]byte, len(said))
	for time.Since(began) < patience {
		// That there is no route is told at once.
		if _, err := from.WriteTo([]byte(said), to.LocalAddr()); err != nil && !errors.Is(err, syscall.EINVAL) {
			from.t.Fatal(err)
		}
		if err := to.SetReadDeadline(time.Now().Add(patience / 50)); err != nil {
			from.t.Fatal(err)
		}
		for {
			if _, _, err := to.ReadFrom(heard); err != nil {
				break
			}
			if string(heard) == said {
				return true
			}
		}
	}
	return false
}

func isolatedMachines(t *testing.T, names ...string) *Machines {
	t.Helper()
	if why := whyNoNetwork(); why != "" {
		t.Skip(why)
	}
	m, err := NewMachines(names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// Who reaches whom under each trouble; doing and undoing it twice is as good
// as once.
func TestMachinesWhoReachesWhom(t *testing.T) {
	t.Parallel()
	m := isolatedMachines(t, "a", "b", "c")
	talkers := map[string]talker{}
	for _, name := range []string{"a", "b", "c"} {
		talkers[name] = newTalker(t, m, name)
	}
	for _, tc := range []struct {
		name     string
		do, undo func() error
		lost     []string // from and to
	}{
		{"nothing", nil, nil, nil},
		{"a unplugged", func() error { return m.Unplug("a") }, func() error { return m.Plug("a") }, []string{"ab", "ac", "ba", "ca"}},
		{"a parted from b", func() error { return m.Part("a", "b") }, func() error { return m.Join("a", "b") }, []string{"ab", "ba"}},
		{"a parted from all", func() error { return m.Part("a", "b", "c") }, func() error { return m.Join("a", "b", "c") }, []string{"ab", "ba", "ac", "ca"}},
		{"a not heard by b", func() error { return m.Vanish("a", "b") }, func() error { return m.Appear("a", "b") }, []string{"ab"}},
		{"a heard by nobody", func() error { return m.Vanish("a", "b", "c") }, func() error { return m.Appear("a", "b", "c") }, []string{"ab", "ac"}},
		{"b not heard by a", func() error { return m.Vanish("b", "a") }, func() error { return m.Appear("b", "a") }, []string{"ba"}},
		{"nothing again", nil, nil, nil},
	} {
		twice := func(do func() error) {
			for range 2 {
				if do == nil {
					continue
				}
				if err := do(); err != nil {
					t.Fatalf("%s: %v", tc.name, err)
				}
			}
		}
		twice(tc.do)
		for _, pair := range []string{"ab", "ba", "ac", "ca", "bc", "cb"} {
			want := true
			for _, lost := range tc.lost {
				want = want && lost != pair
			}
			if got := talkers[pair[:1]].reaches(talkers[pair[1:]], want); got != want {
				t.Errorf("%s: %s reaches %s: %t", tc.name, pair[:1], pair[1:], got)
			}
		}
		twice(tc.undo)
	}
}

// connected are the two ends of a TCP connection between machines.
func connected(t *testing.T, m *Machines, from, to string) (dialled, accepted net.Conn) {
	t.Helper()
	machine, _ := m.machine(to)
	var l net.Listener
	on(t, m, to, func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(machine.Address, "0"))
		return err
	})
	defer l.Close()
	on(t, m, from, func() (err error) {
		dialled, err = net.Dial("tcp4", l.Addr().String())
		return err
	})
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled, accepted
}

// carry sends so many bytes and tells how long it took until they were there.
func carry(t *testing.T, from, to net.Conn, size int) time.Duration {
	t.Helper()
	began := time.Now()
	go func() { _, _ = from.Write(make([]byte, size)) }() // what does not arrive is seen below
	if err := to.SetReadDeadline(began.Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestMachinesSlow(t *testing.T) {
	t.Parallel()
	m := isolatedMachines(t, "a", "b", "c")
	if why := m.whyNotSlow(); why != "" {
		t.Skip(why)
	}
	a, b := connected(t, m, "a", "b")
	other, other2 := connected(t, m, "b", "c")
	const size, kilobits = 150_000, 2_000
	least := time.Duration(size*8/kilobits) * time.Millisecond / 2 // some of it passes at once
	for range 2 {
		if err := m.Slow("a", kilobits, 20); err != nil {
			t.Fatal(err)
		}
	}
	for way, took := range map[string]time.Duration{"from": carry(t, a, b, size), "to": carry(t, b, a, size)} {
		if took < least {
			t.Errorf("%d bytes %s a slow machine took %s", size, way, took)
		}
	}
	if took := carry(t, other, other2, size); took > least {
		t.Errorf("%d bytes between others took %s", size, took)
	}
	for range 2 {
		if err := m.Quicken("a"); err != nil {
			t.Fatal(err)
		}
	}
	if took := carry(t, a, b, size); took > least {
		t.Errorf("%d bytes took %s when nothing was slow any more", size, took)
	}
}

func TestMachinesReset(t *testing.T) {
	t.Parallel()
	m := isolatedMachines(t, "a", "b", "c")
	if why := whyNoResets(); why != "" {
		t.Skip(why)
	}
	dialled, accepted := connected(t, m, "a", "b")
	back, backAccepted := connected(t, m, "b", "a")
	other, otherAccepted := connected(t, m, "b", "c")
	if n, err := m.Reset("a", "b", "c"); n != 2 || err != nil {
		t.Errorf("%d connections reset, %v; want 2", n, err)
	}
	for _, conn := range []net.Conn{dialled, accepted, back, backAccepted} {
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.ECONNABORTED) {
			t.Errorf("a connection that was reset: %v", err)
		}
	}
	carry(t, other, otherAccepted, 1)
	if n, err := m.Reset("a", "b"); n != 0 || err != nil {
		t.Errorf("%d more connections reset, %v", n, err)
	}
}
