package process

import (
	"context"
	"errors"
	"testing"
)

// TestPartsFall: a part that ends with an error ends the node, and says why;
// one that was told to end does not.
func TestPartsFall(t *testing.T) {
	t.Parallel()
	alive, fail := context.WithCancelCause(t.Context())
	r := &running{fail: fail}
	r.keep(func() error { return nil })
	if err := r.work.Wait(); err != nil || alive.Err() != nil {
		t.Errorf("%v, %v", err, alive.Err())
	}
	fallen := errors.New("no longer heard")
	r.keep(func() error { return fallen })
	if err := r.work.Wait(); err != nil || !errors.Is(context.Cause(alive), fallen) {
		t.Errorf("%v, %v", err, context.Cause(alive))
	}
}
