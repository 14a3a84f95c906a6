package sink

import (
	"log/slog"
	"time"

	"landfall/message"
)

// repeatAfter is how often a pause that lasts is said again.
const repeatAfter = 5 * time.Minute

// outage is what the log has been told: that this node stores the stream, the
// beginning and the end of trouble, once each, and a pause that needs a
// person again from time to time.
type outage struct {
	active bool
	since  time.Time // zero: none
	said   time.Time
	reason string
}

// began notes an outage; the log hears of it once.
func (o *outage) began(log *slog.Logger, err error) {
	if o.since.IsZero() {
		o.since = time.Now()
		log.Warn("not storing now; messages are kept in the stream", "error", err)
		return
	}
	log.Debug("still not storing", "error", err)
}

// pausedFor notes a pause, loudly, and again when its reason changes.
func (o *outage) pausedFor(log *slog.Logger, err *message.SetupError) {
	if o.since.IsZero() {
		o.since = time.Now()
	}
	if o.reason == err.Error() && time.Since(o.said) < repeatAfter {
		return
	}
	o.reason, o.said = err.Error(), time.Now()
	attrs := []any{"reason", err.Reason, "advice", err.Advice}
	if err.Err != nil {
		attrs = append(attrs, "error", err.Err)
	}
	log.Error("the stream is paused until the set-up is mended; messages are kept", attrs...)
}

// ended notes that things work again.
func (o *outage) ended(log *slog.Logger) {
	if o.since.IsZero() {
		return
	}
	log.Info("storing again", "after", time.Since(o.since).Round(time.Millisecond))
	*o = outage{active: o.active}
}

// activated notes that a session began here.
func (o *outage) activated(log *slog.Logger, cursor uint64) {
	if !o.active {
		log.Info("this node stores the stream now", "cursor", cursor)
	}
	o.active = true
}

// handedOver notes that another node leads; trouble here is over with that.
func (o *outage) handedOver(log *slog.Logger, err error) {
	if o.active {
		log.Info("another node stores the stream now", "error", err)
	}
	*o = outage{}
}
