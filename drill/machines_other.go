//go:build !linux

package drill

import "errors"

// network cannot be had here.
type network struct{}

var errNoNetwork = errors.New("network namespaces are Linux's")

func whyNoNetwork() string { return errNoNetwork.Error() }

func newNetwork([]string) (*network, []Machine, error) { return nil, nil, errNoNetwork }

func (*network) gateway() string                     { return "" }
func (*network) subnet() string                      { return "" }
func (*network) remove() error                       { return errNoNetwork }
func (*network) cable(string, string) error          { return errNoNetwork }
func (*network) blackhole(string, [][2]string) error { return errNoNetwork }
func (*network) misdirect(string, []string) error    { return errNoNetwork }
func (*network) direct(string, []string) error       { return errNoNetwork }
func (*network) slow(string, int, int) error         { return errNoNetwork }
func (*network) quicken(string) error                { return errNoNetwork }
func (*network) whyNotSlow() string                  { return errNoNetwork.Error() }
func (*network) reset(string, []string) (int, error) { return 0, errNoNetwork }

func whyNoResets() string { return errNoNetwork.Error() }

// loopbackAddress is the one address that every system's loopback has.
func loopbackAddress(int, int, int) string { return "127.0.0.1" }
