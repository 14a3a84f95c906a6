package drill

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// meterTick is how exact the meter is.
const meterTick = 10 * time.Millisecond

// meter watches, while a run goes on, how long nothing is acknowledged and how
// long nothing is stored although something waits for it.
type meter struct {
	ledger *Ledger
	sql    *pgxpool.Pool

	mu               sync.Mutex
	acked, stored    stillness
	storedNow        int64 // messages that Postgres has an account of
	ackedThen        int   // how many were acknowledged when that last grew
	longestPublished time.Duration
}

// stillness is how long a number has not grown.
type stillness struct {
	value   int64
	since   time.Time
	longest time.Duration
}

// look takes the number as it is now. While nothing waits, nothing is still. A
// number that falls (Postgres is an older copy now) has not moved on.
func (s *stillness) look(value int64, waiting bool, now time.Time) {
	if value < s.value {
		s.value = value
	}
	if value > s.value || !waiting || s.since.IsZero() {
		s.value, s.since = value, now
		return
	}
	s.longest = max(s.longest, now.Sub(s.since))
}

// begin forgets what was longest.
func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked.longest, m.stored.longest = 0, 0
}

// end tells what was longest since begin: without an acknowledgement, and
// without a row.
func (m *meter) end() (publishing, storing time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.acked.longest, m.stored.longest
}

// now tells how many messages Postgres has an account of, and the longest
// time without an acknowledgement of the whole run.
func (m *meter) now() (stored int64, longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.storedNow, m.longestPublished
}

// watchAcks looks at the ledger until ctx ends.
func (m *meter) watchAcks(ctx context.Context) error {
	return m.every(ctx, func() {
		t := m.ledger.Tally()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.acked.look(int64(t.Acked), t.Offered > t.Settled, time.Now())
		m.longestPublished = max(m.longestPublished, m.acked.longest)
	})
}

// watchRows looks at Postgres until ctx ends. While it does not answer,
// nothing is stored that anybody could see.
func (m *meter) watchRows(ctx context.Context) error {
	return m.every(ctx, func() {
		once, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		var stored int64
		if err := m.sql.QueryRow(once, `SELECT coalesce(sum(last_seq - start_seq + 1), 0)::bigint FROM landfall.streams WHERE name = $1`, Stream).Scan(&stored); err != nil {
			m.mu.Lock()
			stored = m.storedNow
			m.mu.Unlock()
		}
		t := m.ledger.Tally()
		m.mu.Lock()
		defer m.mu.Unlock()
		if stored > m.storedNow {
			m.ackedThen = t.Acked
		}
		m.storedNow = stored
		m.stored.look(stored, t.Acked > m.ackedThen, time.Now())
	})
}

func (m *meter) every(ctx context.Context, look func()) error {
	tick := time.NewTicker(meterTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			look()
		}
	}
}
