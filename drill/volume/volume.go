// Package volume makes small disks of its own, files mounted as file systems,
// that can be filled, stalled, and cut off from power.
package volume

// Volume is one of them.
type Volume struct{}
