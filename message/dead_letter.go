package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"
)

// DeadLetter is a message that could not be stored, and why.
type DeadLetter struct {
	Stream     string
	StreamID   int64   // of the stream's incarnation, in landfall.streams
	Message    Message // as it came
	SQLState   string  // "" if Postgres did not refuse it
	Reason     string
	FailedAt   time.Time
	ResolvedAt time.Time // zero: it waits for somebody
	Resolution string
}

// deadLetterJSON is a letter as programs read it, with the whole message.
type deadLetterJSON struct {
	Stream     string              `json:"stream"`
	Seq        uint64              `json:"seq"`
	StreamID   int64               `json:"stream_id"`
	Subject    string              `json:"subject"`
	ID         string              `json:"msg_id,omitempty"`
	Headers    map[string][]string `json:"headers,omitempty"`
	Body       *string             `json:"body,omitempty"`       // if it is text
	BodyBytes  []byte              `json:"body_bytes,omitempty"` // base64, if it is not
	Reason     string              `json:"reason"`
	SQLState   string              `json:"sqlstate,omitempty"`
	FailedAt   time.Time           `json:"failed_at"`
	ResolvedAt *time.Time          `json:"resolved_at,omitempty"`
	Resolution string              `json:"resolution,omitempty"`
}

// MarshalJSON writes the letter.
func (d *DeadLetter) MarshalJSON() ([]byte, error) {
	shown := deadLetterJSON{
		Stream: d.Stream, Seq: d.Message.Seq, StreamID: d.StreamID, Subject: d.Message.Subject, ID: d.Message.ID(), Headers: d.Message.Header,
		Reason: d.Reason, SQLState: d.SQLState, FailedAt: d.FailedAt, Resolution: d.Resolution,
	}
	if utf8.Valid(d.Message.Data) {
		text := string(d.Message.Data)
		shown.Body = &text
	} else {
		shown.BodyBytes = d.Message.Data
	}
	if !d.ResolvedAt.IsZero() {
		shown.ResolvedAt = &d.ResolvedAt
	}
	return json.Marshal(shown)
}

// UnmarshalJSON reads what MarshalJSON wrote, perhaps mended by a person: which
// letter it is, and the body. The rest is for reading, and may be left out.
func (d *DeadLetter) UnmarshalJSON(data []byte) error {
	var shown deadLetterJSON
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&shown); err != nil {
		return err
	}
	switch {
	case shown.Stream == "" || shown.Seq == 0 || shown.StreamID == 0:
		return errors.New("stream, stream_id and seq are needed")
	case (shown.Body == nil) == (shown.BodyBytes == nil):
		return errors.New("one of body and body_bytes is needed")
	}
	*d = DeadLetter{Stream: shown.Stream, StreamID: shown.StreamID, Message: Message{Seq: shown.Seq, Data: shown.BodyBytes}}
	if shown.Body != nil {
		d.Message.Data = []byte(*shown.Body)
	}
	return nil
}
