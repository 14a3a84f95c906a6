package producer

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"
)

const (
	// publishPath is where messages go; the rest of the path is the subject.
	publishPath = "/v1/publish/"

	// receiptsPath is where to ask for them; STREAM/SEQ follows.
	receiptsPath = "/v1/receipts/"

	// metricsPath is where Prometheus looks by itself. It asks for the token
	// like everything that is no probe: who has none learns nothing of the node.
	metricsPath = "/metrics"

	// statusPath is what the status page is made of.
	statusPath = "/v1/status"
)

// ServeHTTP finds the way: probes are open to everybody, everything else asks
// for the token first. Paths are not cleaned and never redirected, so that a
// message cannot end up under a subject that its sender did not write.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.serve(w, r, !d.o.AdminApart) }

// Admin answers what ServeHTTP does, and what is for operators in any case.
func (d *Door) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, true) })
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request, admin bool) {
	bodyWithin(w, r, lingering) // of strangers nobody reads more
	if d.o.Probes != nil && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz") {
		d.o.Probes.ServeHTTP(w, r)
		return
	}
	d.leaving.came(w)
	path := r.URL.EscapedPath()
	if err := d.admit(r); err != nil {
		if admin && d.o.Page != nil && d.o.Page.Shows(path) {
			askPerson(w)
		}
		d.refuse(w, r, nil, err)
		return
	}
	bodyWithin(w, r, d.o.BodyTimeout)
	if path == openAPIPath {
		d.serveOpenAPI(w, r)
		return
	}
	if place, ok := strings.CutPrefix(path, receiptsPath); ok && strings.Count(place, "/") == 1 {
		d.serveReceipt(w, r, place)
		return
	}
	if admin && d.serveAdmin(w, r, path) {
		return
	}
	subject, ok := strings.CutPrefix(path, publishPath)
	switch {
	case !ok || strings.Contains(subject, "/"):
		d.refuse(w, r, nil, fmt.Errorf("%w: %s", errNoPath, r.URL.Path))
	case r.Method != http.MethodPost:
		d.refuse(w, r, nil, fmt.Errorf("%w, not a %s", errMethod, r.Method))
	default:
		d.servePublish(w, r, subject)
	}
}

// serveAdmin answers what is for operators, and tells whether it was that.
func (d *Door) serveAdmin(w http.ResponseWriter, r *http.Request, path string) bool {
	rest, letters := strings.CutPrefix(path, lettersPath)
	switch {
	case letters && (rest == "" || rest[0] == '/'):
		d.serveLetters(w, r, rest)
	case path == metricsPath && d.o.Metrics != nil:
		d.serveMetrics(w, r)
	case path == statusPath && d.o.Status != nil:
		d.serveStatus(w, r)
	case d.o.Page != nil && d.o.Page.Shows(path):
		d.o.Page.ServeHTTP(w, r)
	default:
		return false
	}
	return true
}

func (d *Door) serveStatus(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		d.refuse(w, r, nil, fmt.Errorf("%w, not a %s", errGetMethod, r.Method))
		return
	}
	status, err := d.o.Status()
	if err != nil {
		d.refuse(w, r, nil, fmt.Errorf("%w: %w", errNoStatus, err))
		return
	}
	respond(w, http.StatusOK, "application/json", status)
}

// lingering is how long net/http may read on in a body that was not read to
// its end, before it sends the answer. It reads so that a client that is still
// sending is not cut off before it has the answer.
const lingering = 5 * time.Second

// bodyWithin says by when the whole body must be here, also one that is refused
// unread.
func bodyWithin(w http.ResponseWriter, r *http.Request, timeout time.Duration) {
	if r.ContentLength != 0 {
		// A writer without deadlines is not a network connection.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
	}
}

func (d *Door) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		d.refuse(w, r, nil, fmt.Errorf("%w, not a %s", errGetMethod, r.Method))
		return
	}
	d.o.Metrics.ServeHTTP(w, r)
}

// servePublish takes a message or a batch through the door.
func (d *Door) servePublish(w http.ResponseWriter, r *http.Request, escapedSubject string) {
	b := d.backend.Load()
	if b == nil {
		d.refusePublish(w, r, nil, d.notOpen())
		return
	}
	q, err := d.parse(r, escapedSubject)
	switch {
	case err == nil && q.stored && b.Receipts == nil:
		err = fmt.Errorf("%w: this node has nobody who could", errNotAsked)
		fallthrough
	case err != nil:
		d.refusePublish(w, r, nil, err)
	case q.form.isBatch():
		d.serveBatch(w, r, b, q)
	default:
		d.serveMessage(w, r, b, q)
	}
}

// serveMessage publishes one message.
func (d *Door) serveMessage(w http.ResponseWriter, r *http.Request, b *Backend, q *request) {
	var floor uint64
	if q.stored {
		floor = b.Receipts.Cursor(q.like.stream)
	}
	began := time.Now()
	m, done, err := d.through(w, r, b, q)
	if errors.Is(err, errBusy) {
		d.discard(w, r)
	}
	if err != nil {
		d.refusePublish(w, r, m, err)
		return
	}
	if d.o.Log.Enabled(r.Context(), slog.LevelDebug) {
		d.o.Log.Debug("acknowledged", "stream", done.Stream, "sequence", done.Seq, "id", done.MsgID, "subject", m.subject)
	}
	if !q.stored {
		d.o.Published("", time.Since(began))
		respond(w, http.StatusOK, "application/json", done)
		return
	}
	d.o.Published("", 0)
	if done.known {
		floor = math.MaxUint64
	}
	d.serveStored(w, r, b, q, done, floor)
}

// refusePublish is refuse, counted.
func (d *Door) refusePublish(w http.ResponseWriter, r *http.Request, m *incoming, err error) {
	d.o.Published(refusalOf(err).name, 0)
	d.refuse(w, r, m, err)
}

// discard reads the rest of a message that there is no room for. net/http
// alone would read little of it and close the connection, and a client in the
// middle of sending would see that instead of its 429, and connect again.
func (d *Door) discard(w http.ResponseWriter, r *http.Request) {
	bodyWithin(w, r, lingering)
	// An error means that there is nothing to read, or nobody to answer.
	_, _ = io.CopyN(io.Discard, r.Body, int64(d.o.MaxPayload)+1)
}

// through returns the message as far as it was understood, also on errors. Its
// room is free again when it returns: a client that is slow to read its
// answer takes none.
func (d *Door) through(w http.ResponseWriter, r *http.Request, b *Backend, q *request) (*incoming, receipt, error) {
	s, err := d.gate.enter()
	if err != nil {
		return nil, receipt{}, err
	}
	defer s.leave()
	m, err := d.accept(r, q, s)
	if err != nil {
		return m, receipt{}, err
	}
	// The body is here. net/http reads on in the background to notice when
	// the client goes away; a deadline that passes would look like that.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	done, err := d.publish(r.Context(), b, m)
	return m, done, err
}

func (d *Door) notOpen() error {
	if d.o.Ready != nil {
		if err := d.o.Ready(); err != nil {
			return fmt.Errorf("%w: %w", errNotOpen, err)
		}
	}
	return errNotOpen
}

// answerTime is how long a client may take to read its answer, and a single
// message with its body and its hold, too.
const answerTime = time.Minute

// allowAnswer gives the client answerTime from now on: what came before took
// longer than Server expects of a request.
func allowAnswer(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
}

// Server is an http.Server with limits that suit the door: idle and slow
// clients are let go, and an answer may take as long as a body and a hold.
// Its own complaints (broken TLS, panics) go to log.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		WriteTimeout:      answerTime,
		MaxHeaderBytes:    32 << 10, // below what JetStream stores
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
