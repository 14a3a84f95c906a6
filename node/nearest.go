package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/message"
)

// replicaAsks is how often the replicas are asked for a message the leader
// misses. Each ask goes to one of them by chance: of three, the odds that one
// is never asked are below one in a hundred thousand.
const replicaAsks = 32

// next asks for the first message at or after a sequence.
type next struct {
	Seq    uint64 `json:"seq"`
	Filter string `json:"next_by_subj"`
}

// Nearest returns the stored message with the lowest sequence at or after
// seq. The stream's leader is asked first; where it has a hole, the replicas
// are asked too, since one of them may have what the leader's disk has lost.
// found is false if none holds anything from seq on.
func (s *Source) Nearest(ctx context.Context, seq uint64) (m message.Message, found bool, err error) {
	m, found, err = s.leaderNearest(ctx, seq)
	if err != nil {
		return message.Message{}, false, fmt.Errorf("message at %d: %w", seq, err)
	}
	if found && m.Seq == seq {
		return m, true, nil
	}
	other, have, err := s.replicasNearest(ctx, seq)
	if err != nil {
		return message.Message{}, false, fmt.Errorf("message at %d: %w", seq, err)
	}
	if have && (!found || other.Seq < m.Seq) {
		return other, true, nil
	}
	return m, found, nil
}

func (s *Source) leaderNearest(ctx context.Context, seq uint64) (message.Message, bool, error) {
	var answer struct {
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	err := call(ctx, s.nc, "STREAM.MSG.GET."+s.stream, next{seq, ">"}, &answer)
	if isAPIError(err, jetstream.JSErrCodeMessageNotFound) {
		return message.Message{}, false, nil
	}
	if err != nil {
		return message.Message{}, false, err
	}
	a := answer.Message
	m := message.Message{Seq: a.Seq, Subject: a.Subject, Data: a.Data, Time: a.Time}
	if len(a.Header) > 0 {
		// A block that is no proper header is dropped, as it is on delivery.
		if h, err := nats.DecodeHeadersMsg(a.Header); err == nil {
			m.Header = h
		}
	}
	return m, true, nil
}

// replicasNearest collects the answers of all replicas that answer. That none
// does is an error: "nobody holds it" is a judgement which loses messages, and
// silence is no evidence for it.
func (s *Source) replicasNearest(ctx context.Context, seq uint64) (best message.Message, found bool, err error) {
	request, err := json.Marshal(next{seq, ">"})
	if err != nil {
		return best, false, err
	}
	inbox := s.nc.NewRespInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return best, false, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	for range replicaAsks {
		if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+s.stream, inbox, request); err != nil {
			return best, false, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for answers := range replicaAsks {
		reply, err := sub.NextMsgWithContext(limited)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil, errors.Is(err, nats.ErrNoResponders):
			if answers == 0 {
				return best, false, fmt.Errorf("the replicas: %w", ErrNoAnswer)
			}
			return best, found, nil
		case err != nil:
			return best, found, err
		}
		m, ok := directMessage(reply)
		if ok && m.Seq >= seq && (!found || m.Seq < best.Seq) {
			best, found = m, true
		}
		if found && best.Seq == seq {
			return best, true, nil
		}
	}
	return best, found, nil
}

// directMessage decodes a direct get's answer: the message itself, with what
// the server knows of it added to its headers. A producer may have sent
// headers of those names too, so the last value, the server's, counts.
func directMessage(reply *nats.Msg) (message.Message, bool) {
	take := func(key string) string { return takeLast(reply.Header, key) }
	stream := take(jetstream.StreamHeader)
	subject := take(jetstream.SubjectHeader)
	seq, seqErr := strconv.ParseUint(take(jetstream.SequenceHeader), 10, 64)
	at, timeErr := time.Parse(time.RFC3339Nano, take(jetstream.TimeStampHeaer))
	if stream == "" || seqErr != nil || timeErr != nil {
		return message.Message{}, false // not found, or a status
	}
	m := message.Message{Seq: seq, Subject: subject, Data: reply.Data, Time: at}
	if len(reply.Header) > 0 {
		m.Header = reply.Header
	}
	return m, true
}

// takeLast takes the last value of a header out of it.
func takeLast(h nats.Header, key string) string {
	values := h[key]
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	if values = values[:len(values)-1]; len(values) == 0 {
		delete(h, key)
	} else {
		h[key] = values
	}
	return last
}
