//go:build !linux

package volume

import (
	"errors"
	"fmt"
)

var errElsewhere = fmt.Errorf("volumes are had on Linux alone: %w", errors.ErrUnsupported)

// Lacking says why no volumes can be had here.
func Lacking() string { return "volumes are had on Linux alone" }

// Create makes no volume here.
func Create(image, mountpoint string, _ int64) (*Volume, error) {
	return nil, errElsewhere
}

// UnmountUnder finds nothing to unmount here.
func UnmountUnder(string) error { return nil }

// Nobody has a volume here whose methods could be called.

// Fill takes all room that is left.
func (v *Volume) Fill() error { return errElsewhere }

// Free gives back what Fill took.
func (v *Volume) Free() error { return errElsewhere }

// Freeze stalls the volume.
func (v *Volume) Freeze() error { return errElsewhere }

// Thaw lets those go on who waited.
func (v *Volume) Thaw() error { return errElsewhere }

// CutPower loses all that was not fsynced.
func (v *Volume) CutPower() error { return errElsewhere }

// Remount gives a volume its power back.
func (v *Volume) Remount() error { return errElsewhere }

// Close unmounts a volume.
func (v *Volume) Close() error { return errElsewhere }
