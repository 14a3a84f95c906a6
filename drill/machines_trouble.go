package drill

// What can happen to a network besides pulled cables and parted machines. All
// of it needs Isolated, and what undoes it may be called twice.

// Vanish has what a machine sends to others vanish on the way, silently. What
// they send arrives.
func (m *Machines) Vanish(from string, to ...string) error {
	return m.network.misdirect(from, m.at(to))
}

// Appear undoes Vanish.
func (m *Machines) Appear(from string, to ...string) error {
	return m.network.direct(from, m.at(to))
}

// Slow has a machine's cable carry so many kilobits a second each way, and
// where the kernel can delay packets, has each of them wait.
func (m *Machines) Slow(name string, kilobits, delayMillis int) error {
	return m.network.slow(name, kilobits, delayMillis)
}

// Quicken undoes Slow.
func (m *Machines) Quicken(name string) error { return m.network.quicken(name) }

// whyNotSlow says what is missing for Slow, or nothing.
func (m *Machines) whyNotSlow() string { return m.network.whyNotSlow() }

// Reset resets the connections between a machine and others, on both sides,
// and tells how many there were.
func (m *Machines) Reset(name string, others ...string) (int, error) {
	return m.network.reset(name, m.at(others))
}

// at are the addresses of machines.
func (m *Machines) at(names []string) []string {
	var addresses []string
	for _, name := range names {
		one, _ := m.machine(name)
		addresses = append(addresses, one.Address)
	}
	return addresses
}
