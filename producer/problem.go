package producer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// The refusals of this door. Wrapped with the particulars they are what a
// client reads as "detail".
var (
	errBadSubject      = errors.New("the subject is not one to publish to")
	errBadKey          = errors.New("the Idempotency-Key cannot be used")
	errNoKey           = errors.New("there is no Idempotency-Key, and a batch needs one: line N is stored under KEY/N, so that a batch that breaks off can be repeated and no line is stored twice")
	errBadQuery        = errors.New("the query parameters cannot be used")
	errNatsHeader      = errors.New("a Nats- header was sent")
	errEvent           = errors.New("the CloudEvent cannot be read")
	errDecoding        = errors.New("the compressed body cannot be decompressed")
	errEmptyBatch      = errors.New("the batch has no messages")
	errBadLetterQuery  = errors.New("the query parameters cannot be used for dead letters")
	errStillRefused    = errors.New("it is refused again")
	errNotRetried      = errors.New("it could not be retried")
	errBadSequence     = errors.New("there is no such sequence, they are numbers from 1")
	errBodyBroken      = errors.New("the body broke off")
	errCrossOrigin     = errors.New("the request was made by a page of another origin")
	errNoStatus        = errors.New("the state of the cluster is not known")
	errNotDiscarded    = errors.New("it could not be discarded")
	errNoToken         = errors.New("there is no bearer token")
	errWrongToken      = errors.New("the bearer token is not the right one")
	errNoPath          = errors.New("there is nothing at this path")
	errUnknownStream   = errors.New("there is no stream")
	errNoStream        = errors.New("no stream takes")
	errMethod          = errors.New("this is done with POST")
	errGetMethod       = errors.New("this is asked for with GET")
	errBodySlow        = errors.New("the body did not arrive in time")
	errTooLarge        = errors.New("the body is too large")
	errVain            = errors.New("there are no messages in a large part of the batch")
	errBatchTooLarge   = errors.New("the batch is too large")
	errBadEncoding     = errors.New("the Content-Encoding is not one of " + takenEncodings + ", and one at a time")
	errNotJSON         = errors.New("the line is not valid JSON")
	errLines           = errors.New("some of the batch was refused")
	errDeadLetter      = errors.New("it is acknowledged, and Postgres cannot hold it as a row")
	errKeyReused       = errors.New("the key was used before, with another subject or body")
	errBusy            = errors.New("too much is in flight")
	errHeadersTooLarge = errors.New("the headers that travel are too large")
	errRefused         = errors.New("the stream refused the message")
	errGap             = errors.New("the message was acknowledged, and lost before Postgres had it")
	errNotAsked        = errors.New("there is no answer from Postgres")
	errNotOpen         = errors.New("this node is not up")
	errStopping        = errors.New("this node is stopping")
	errClientGone      = errors.New("the client went away")
	errStreamFull      = errors.New("the stream takes no more")
	errNoResources     = errors.New("the nodes' storage is used up")
	errNoQuorum        = errors.New("there was no acknowledgement")
	errUncompared      = errors.New("the key is known, and the message stored under it could not be read")
	errTrimmed         = errors.New("the key is known, and the message stored under it is no longer in the stream")
)

// ErrNoLetter says that no dead letter waits at a place.
var ErrNoLetter = errors.New("no dead letter waits there")

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
	advice string // what to mend
	repeat string // how to go on afterwards, if the request was a single message
	after  int    // Retry-After in seconds; 0: repeating does not help
}

// How to go on.
const (
	sameKey   = "Repeat the request with the same Idempotency-Key (the msg_id given here, if you sent none): it cannot be stored twice."
	noneYet   = "Nothing was published. Send the request again."
	mendLines = "Mend the refused ones and send them as a batch of their own, under another key."
)

// refusals is the one table from errors to answers; it is never written to.
var refusals = [...]refusal{
	{errBadSubject, 400, "subject", "Not a subject to publish to", "Use tokens with dots between them, such as orders.created; percent-encode what a path cannot hold.", "", 0},
	{errBadKey, 400, "key", "Unusable Idempotency-Key", "Send one key of up to 512 bytes of UTF-8 without control characters and slashes, or none; a batch of lines must have one, and CloudEvents have their own.", "", 0},
	{errNoKey, 400, "key", "Idempotency-Key needed", "Send a key of your own choice with the batch, such as the name of its file, and the same one whenever you repeat it.", "", 0},
	{errBadQuery, 400, "query", "Unusable query parameter", "There are ack=quorum, ack=stored with timeout=5s, and for NDJSON first_line=1.", "", 0},
	{errBadLetterQuery, 400, "query", "Unusable query parameter", "There are stream, reason, since, after and limit.", "", 0},
	{errNatsHeader, 400, "header", "Nats- headers are not for clients", "Leave it away.", "", 0},
	{errEvent, 400, "cloudevent", "Not a CloudEvent", "Send what CloudEvents 1.0 asks for: specversion 1.0, id, source and type, as ce- headers or as members of the JSON document.", "", 0},
	{errDecoding, 400, "decoding", "Body cannot be decompressed", "Send one whole and unbroken gzip or zstd stream, and nothing behind it; of a batch, what came before is published.", "", 0},
	{errVain, 400, "no-messages", "No messages", "What came before is published. Send one JSON text a line, or an array of CloudEvents.", "", 0},
	{errEmptyBatch, 400, "empty-batch", "Empty batch", "Send one JSON text a line.", "", 0},
	{errBadSequence, 400, "sequence", "Not a sequence", "Use the seq of the answer to a publish.", "", 0},
	{errBodyBroken, 400, "body", "Body incomplete", "", noneYet, 0},
	{errNoToken, 401, "token", "Token needed", "Send the header Authorization: Bearer TOKEN with auth.token of cluster.yaml.", "", 0},
	{errWrongToken, 401, "token", "Token refused", "Compare the token with auth.token of cluster.yaml.", "", 0},
	{errCrossOrigin, 403, "cross-origin", "Made by another site's page", "Browsers may send from Landfall's own pages only, opened by an address or by a name in cluster.yaml.", "", 0},
	{errNoPath, 404, "path", "Nothing here", "POST to /v1/publish/SUBJECT (a slash in a subject is %2F), or GET /v1/receipts/STREAM/SEQ, or GET /v1/dead-letters; GET /v1/openapi.json describes them.", "", 0},
	{errNoStream, 404, "no-stream", "No stream takes this subject", "Use a subject that is taken, or add it to a stream in cluster.yaml.", "", 0},
	{errUnknownStream, 404, "no-such-stream", "No such stream", "Use a stream of cluster.yaml, as the answer to a publish names it.", "", 0},
	{ErrNoLetter, 404, "no-letter", "No dead letter there", "GET /v1/dead-letters lists those that wait.", "", 0},
	{errMethod, 405, "method", "Method not allowed", "Use POST.", "", 0},
	{errGetMethod, 405, "method", "Method not allowed", "Use GET.", "", 0},
	{errBodySlow, 408, "slow", "Body too slow", "", noneYet, 0},
	{errTooLarge, 413, "too-large", "Message too large", "Split the message, or store the large part elsewhere and publish a reference.", "", 0},
	{errBatchTooLarge, 413, "batch-too-large", "Batch too large", "What came before is published. Send the rest as another batch.", "", 0},
	{errBadEncoding, 415, "encoding", "Unsupported Content-Encoding", "Compress the body with gzip or zstd, or not at all.", "", 0},
	{errKeyReused, 422, "key-reused", "Idempotency-Key reused with another message", "This message was not stored. Send it under a key of its own.", "", 0},
	{errNotJSON, 422, "not-json", "Line is not JSON", "Send one JSON text a line, in UTF-8.", "", 0},
	{errLines, 422, "lines", "Some of the batch was refused", "The others are stored. " + mendLines + " Repeating the whole batch as it is is safe, and gives the same answer.", "", 0},
	{errDeadLetter, 422, "dead-letter", "Dead letter", "It is kept in landfall.dead_letters: with its bytes and the reason. Mend the message and send it under another key.", "", 0},
	{errStillRefused, 422, "still-refused", "Refused again", "Mend the cause and retry, or mend the message: app dead-letters edit.", "", 0},
	{errBusy, 429, "busy", "Too much in flight", "Nothing of it was stored. Send fewer at a time, or repeat later.", "", 1},
	{errHeadersTooLarge, 431, "headers-too-large", "Headers too large", "Send fewer or shorter headers that travel with the message.", "", 0},
	{errRefused, 500, "refused", "Refused by the stream", "Look at the stream's configuration: another program may have changed it.", "", 0},
	{errGap, 500, "gap", "Lost", "The nodes' disks have lost what they promised to keep: see landfall.gaps and app verify. Send the message again under another key.", "", 0},
	{errNotOpen, 503, "not-up", "Not up", "Repeat in a moment, or at another node.", "", 1},
	{errNotAsked, 503, "not-asked", "Postgres could not be asked", "What was acknowledged is safe in the stream. Ask again later.", "", 5},
	{errNoStatus, 503, "status-unknown", "Not known", "Ask another node.", "", 1},
	{errNotDiscarded, 503, "not-discarded", "Not discarded", "Postgres could not be reached. Repeat it later.", "", 5},
	{errNotRetried, 503, "not-retried", "Not retried", "Postgres or the stream could not be reached. Repeat it later; it is stored once.", "", 5},
	{errStopping, 503, "stopping", "Stopping", "At another node:", sameKey, 1},
	{errClientGone, 503, "gone", "Given up", "", sameKey, 1},
	{errStreamFull, 503, "stream-full", "Stream full", "Nothing is thrown away for new messages. See that Postgres can be reached, or raise max_bytes.", sameKey, 5},
	{errNoResources, 503, "storage", "Storage used up", "Give the nodes more disk, or lower max_bytes.", sameKey, 5},
	{errNoQuorum, 503, "no-quorum", "Not acknowledged", "Whether it was stored is not known.", sameKey, 1},
	{errUncompared, 503, "not-compared", "Not compared", "", sameKey, 1},
	{errTrimmed, 503, "trimmed", "No longer comparable", "Once the duplicate_window is over the message is taken again and compared in Postgres.", sameKey, 5},
}

// unforeseen is the answer to an error that the table does not know.
var unforeseen = refusal{nil, 500, "internal", "Internal error", "See this node's log.", "", 0}

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

// isRefusal tells whether the error is one of the table's.
func isRefusal(err error) bool { return refusalOf(err).err != nil }

func (like refusal) kind() string { return "urn:landfall:problem:" + like.name }

func (like refusal) problem(err error) problem {
	if errors.Is(like.err, errNotAsked) || errors.Is(like.err, errNotRetried) || errors.Is(like.err, errNotDiscarded) {
		err = like.err // where Postgres is, and as whom it is asked, is for the log
	}
	return problem{
		Type: like.kind(), Title: like.title, Status: like.status,
		Detail: err.Error(), Advice: strings.TrimSpace(like.advice + " " + like.repeat),
	}
}

// refuse answers with a problem. m is the message, as far as it is known.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, m *incoming, err error) {
	like := refusalOf(err)
	p := like.problem(err)
	if m != nil && like.after > 0 {
		p.MsgID = m.id
	}
	d.log(r, m, like, err)
	like.respond(w, p)
}

// respond answers with a problem document and the headers that belong to it.
func (like refusal) respond(w http.ResponseWriter, document any) {
	h := w.Header()
	if like.after > 0 {
		h.Set("Retry-After", strconv.Itoa(like.after))
	}
	switch like.err {
	case errNoToken, errWrongToken:
		h.Add("WWW-Authenticate", `Bearer realm="landfall"`)
	case errMethod:
		h.Set("Allow", http.MethodPost)
	case errGetMethod:
		h.Set("Allow", http.MethodGet+", "+http.MethodHead)
	case errBadEncoding:
		h.Set("Accept-Encoding", takenEncodings)
	}
	respond(w, like.status, "application/problem+json", document)
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
