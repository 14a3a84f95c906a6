package producer

import (
	"net/http"
	"sync/atomic"
	"time"
)

// leaving is how the door tells its clients to go elsewhere, while it goes on
// serving those who have not noticed yet.
type leaving struct {
	told atomic.Bool
	last atomic.Int64 // when a request came last, in ns since the epoch
}

// SendAway has every answer from now on close its connection: whoever sends
// another request has to connect again, which, behind a load balancer, is to
// another node. Requests are answered as before. Connections that are idle
// are left alone: a client that is about to use one must not find it closed.
func (d *Door) SendAway() { d.leaving.told.Store(true) }

// LastRequest is when a request came last, probes aside; the zero time if none
// ever did.
func (d *Door) LastRequest() time.Time {
	if at := d.leaving.last.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

func (l *leaving) came(w http.ResponseWriter) {
	l.last.Store(time.Now().UnixNano())
	if l.told.Load() {
		w.Header().Set("Connection", "close")
	}
}
