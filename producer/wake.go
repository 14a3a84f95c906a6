package producer

import (
	"context"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// leaderElected is the subject on which nats-server announces a new leader of
// a stream, followed by the stream's name (JSAdvisoryStreamLeaderElectedPre
// in its server/jetstream_api.go). The announcement comes a moment before the
// leader subscribes to the stream's subjects, so the first repeat after it may
// still find nobody there.
const leaderElected = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."

// bell wakes everybody who waits for a new leader of one stream. It is a
// context that is cancelled when the bell rings, because a context can both be
// waited for and end a request that is under way.
type bell struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

func newBell() *bell {
	b := &bell{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// next is cancelled at the first ring from now on.
func (b *bell) next() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ctx
}

func (b *bell) ring() {
	b.mu.Lock()
	rung := b.cancel
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.mu.Unlock()
	rung()
}

// listen rings a stream's bell whenever a new leader of it is announced.
func listen(nc *nats.Conn, bells map[string]*bell) (*nats.Subscription, error) {
	return nc.Subscribe(leaderElected+"*", func(m *nats.Msg) {
		if b, ok := bells[strings.TrimPrefix(m.Subject, leaderElected)]; ok {
			b.ring()
		}
	})
}
