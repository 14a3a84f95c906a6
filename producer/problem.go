package producer

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
)

// The refusals of this door. Wrapped with the particulars they are what a
// client reads as "detail".
var (
	errBadSubject      = errors.New("the subject is not one to publish to")
	errBadKey          = errors.New("the Idempotency-Key cannot be used")
	errBadQuery        = errors.New("the query parameters are not known here")
	errNatsHeader      = errors.New("a Nats- header was sent")
	errEvent           = errors.New("the CloudEvent cannot be read")
	errBodyBroken      = errors.New("the body broke off")
	errNoToken         = errors.New("there is no bearer token")
	errWrongToken      = errors.New("the bearer token is not the right one")
	errNoPath          = errors.New("there is nothing at this path")
	errNoStream        = errors.New("no stream takes")
	errMethod          = errors.New("publishing is a POST")
	errBodySlow        = errors.New("the body did not arrive in time")
	errTooLarge        = errors.New("the body is too large")
	errBadMedia        = errors.New("the body is not one plain message")
	errKeyReused       = errors.New("the key was used before, with another subject or body")
	errBusy            = errors.New("too much is in flight")
	errHeadersTooLarge = errors.New("the headers that travel are too large")
	errRefused         = errors.New("the stream refused the message")
	errNotOpen         = errors.New("this node is not up")
	errStopping        = errors.New("this node is stopping")
	errClientGone      = errors.New("the client went away")
	errStreamFull      = errors.New("the stream takes no more")
	errNoResources     = errors.New("the nodes' storage is used up")
	errNoQuorum        = errors.New("there was no acknowledgement")
	errUncompared      = errors.New("the key is known, and the message stored under it could not be read")
	errTrimmed         = errors.New("the key is known, and the message stored under it is no longer in the stream")
)

// What ends an attempt, not a request.
var (
	errUnanswered = errors.New("no answer")
	errStranger   = errors.New("an acknowledgement from elsewhere")
)

// refusal is how one kind of error looks to a client.
type refusal struct {
	err    error
	status int
	name   string // last part of the problem's type
	title  string
	advice string
	after  int // Retry-After in seconds; 0: repeating does not help
}

const sameKey = "Repeat the request with the same Idempotency-Key (the msg_id given here, if you sent none): it cannot be stored twice."

// refusals is the one table from errors to answers; it is never written to.
var refusals = [...]refusal{
	{errBadSubject, 400, "subject", "Not a subject to publish to", "Use tokens with dots between them, such as orders.created; percent-encode what a path cannot hold.", 0},
	{errBadKey, 400, "key", "Unusable Idempotency-Key", "Send one key of up to 512 bytes of UTF-8 without control characters and slashes, or none.", 0},
	{errBadQuery, 400, "query", "Unknown query parameter", "Leave the query away.", 0},
	{errNatsHeader, 400, "header", "Nats- headers are not for clients", "Leave it away.", 0},
	{errEvent, 400, "cloudevent", "Not a CloudEvent", "Send what CloudEvents 1.0 asks for: specversion 1.0, id, source and type, as ce- headers or as members of the JSON document.", 0},
	{errBodyBroken, 400, "body", "Body incomplete", "Nothing was published. Send the request again.", 0},
	{errNoToken, 401, "token", "Token needed", "Send the header Authorization: Bearer TOKEN with auth.token of cluster.yaml.", 0},
	{errWrongToken, 401, "token", "Token refused", "Compare the token with auth.token of cluster.yaml.", 0},
	{errNoPath, 404, "path", "Nothing here", "POST a message to /v1/publish/SUBJECT (a slash in a subject is %2F).", 0},
	{errNoStream, 404, "no-stream", "No stream takes this subject", "Use a subject that is taken, or add it to a stream in cluster.yaml.", 0},
	{errMethod, 405, "method", "Method not allowed", "Use POST.", 0},
	{errBodySlow, 408, "slow", "Body too slow", "Nothing was published. Send the request again.", 0},
	{errTooLarge, 413, "too-large", "Message too large", "Split the message, or store the large part elsewhere and publish a reference.", 0},
	{errBadMedia, 415, "media", "Unsupported body", "Send one message, as it is, for each request.", 0},
	{errKeyReused, 422, "key-reused", "Idempotency-Key reused with another message", "This message was not stored. Send it under a key of its own.", 0},
	{errBusy, 429, "busy", "Too much in flight", "This message was not stored. Send fewer at a time, or repeat later.", 1},
	{errHeadersTooLarge, 431, "headers-too-large", "Headers too large", "Send fewer or shorter headers that travel with the message.", 0},
	{errRefused, 500, "refused", "Refused by the stream", "Look at the stream's configuration: another program may have changed it.", 0},
	{errNotOpen, 503, "not-up", "Not up", "Repeat in a moment, or at another node.", 1},
	{errStopping, 503, "stopping", "Stopping", "At another node: " + sameKey, 1},
	{errClientGone, 503, "gone", "Given up", sameKey, 1},
	{errStreamFull, 503, "stream-full", "Stream full", "Nothing is thrown away for new messages. See that Postgres can be reached, or raise max_bytes. " + sameKey, 5},
	{errNoResources, 503, "storage", "Storage used up", "Give the nodes more disk, or lower max_bytes. " + sameKey, 5},
	{errNoQuorum, 503, "no-quorum", "Not acknowledged", "Whether it was stored is not known. " + sameKey, 1},
	{errUncompared, 503, "not-compared", "Not compared", sameKey, 1},
	{errTrimmed, 503, "trimmed", "No longer comparable", "Once the duplicate_window is over the message is taken again and compared in Postgres. " + sameKey, 5},
}

// unforeseen is the answer to an error that the table does not know.
var unforeseen = refusal{nil, 500, "internal", "Internal error", "See this node's log.", 0}

func refusalOf(err error) refusal {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r
		}
	}
	return unforeseen
}

// problem is the body of a refusal, as RFC 9457 has it; advice and msg_id are
// members of its own.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Advice string `json:"advice"`
	MsgID  string `json:"msg_id,omitempty"` // under which the message may be repeated
}

// refuse answers with a problem. m is the message, as far as it is known.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, m *incoming, err error) {
	like := refusalOf(err)
	p := problem{
		Type: "urn:landfall:problem:" + like.name, Title: like.title, Status: like.status,
		Detail: err.Error(), Advice: like.advice,
	}
	if m != nil && like.after > 0 {
		p.MsgID = m.id
	}
	h := w.Header()
	if like.after > 0 {
		h.Set("Retry-After", strconv.Itoa(like.after))
	}
	switch like.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="landfall"`)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	}
	d.log(r, m, like, err)
	respond(w, like.status, "application/problem+json", p)
}

// log tells the operator what the client was told: loudly what is the
// cluster's fault, quietly what is the client's or the moment's.
func (d *Door) log(r *http.Request, m *incoming, like refusal, err error) {
	level := slog.LevelDebug
	switch like.err {
	case errNoQuorum, errStreamFull, errNoResources, errUncompared, errTrimmed:
		level = slog.LevelWarn
	case errRefused, nil:
		level = slog.LevelError
	}
	attrs := []any{"status", like.status, "client", r.RemoteAddr, "err", err}
	if m != nil {
		attrs = append(attrs, "subject", m.subject, "id", m.id)
	}
	d.o.Log.Log(r.Context(), level, "request refused", attrs...)
}

// respond writes a small JSON document. An error means that the client is gone,
// and there is nobody to tell.
func respond(w http.ResponseWriter, status int, mediaType string, v any) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // subjects read well with their `>`
	_ = e.Encode(v)
}
