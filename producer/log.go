package producer

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// quietTime is how long the log hears no more of a kind of refusal that it
// has just been told of: an outage refuses thousands alike.
const quietTime = 10 * time.Second

// logged is when the log was last told of each kind of refusal.
type logged struct {
	mu    sync.Mutex
	kinds map[error]*kind // as many as the table has
}

type kind struct {
	said    time.Time
	leftOut int // since then
}

// next tells whether to say another refusal of the kind now, and how many were
// left out before it.
func (l *logged) next(err error, now time.Time) (say bool, leftOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.kinds[err]
	switch {
	case !ok:
		if l.kinds == nil {
			l.kinds = make(map[error]*kind)
		}
		k = &kind{}
		l.kinds[err] = k
	case now.Sub(k.said) < quietTime:
		k.leftOut++
		return false, 0
	}
	leftOut, k.leftOut, k.said = k.leftOut, 0, now
	return true, leftOut
}

// log tells the operator what the client was told: loudly, but not again and
// again, what is the cluster's fault, quietly what is the client's or the
// moment's.
func (d *Door) log(r *http.Request, m *incoming, like refusal, err error) {
	level := slog.LevelDebug
	switch like.err {
	case errNoQuorum, errStreamFull, errNoResources, errUncompared, errTrimmed, errNotAsked:
		level = slog.LevelWarn
	case errRefused, errGap, nil:
		level = slog.LevelError
	}
	attrs := []any{"status", like.status, "client", r.RemoteAddr, "err", err}
	if m != nil {
		attrs = append(attrs, "subject", m.subject, "id", m.id)
	}
	if level > slog.LevelDebug {
		say, leftOut := d.logged.next(like.err, time.Now())
		if !say {
			level = slog.LevelDebug
		} else if leftOut > 0 {
			attrs = append(attrs, "more_like_it", leftOut)
		}
	}
	d.o.Log.Log(r.Context(), level, "request refused", attrs...)
}
