package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"landfall/message"
)

// rangeBytes is after how much a replica ends its answer to a range, whether
// it is complete or not.
const rangeBytes = 1 << 20

// Range returns the stored messages from first to last, both included, in
// order, as any replica holds them. One may lack the newest, and none returns
// much more than a mebibyte: the caller asks again for what is missing. What
// came before an error is returned with it.
//
// It is a direct get of a batch (getDirectRequest in nats-server's
// server/stream.go): the replica steps over holes, sends as many messages as
// it is asked for, also beyond last when there are holes, and then a status
// 204; where it has nothing from first on, a status 404 and nothing else.
func (s *Source) Range(ctx context.Context, first, last uint64) ([]message.Message, error) {
	if first == 0 || last < first {
		return nil, fmt.Errorf("messages from %d to %d: no such range", first, last)
	}
	found, err := s.directRange(ctx, first, last)
	if err != nil {
		return found, fmt.Errorf("messages from %d to %d: %w", first, last, err)
	}
	return found, nil
}

func (s *Source) directRange(ctx context.Context, first, last uint64) (found []message.Message, err error) {
	request, err := json.Marshal(struct {
		Seq      uint64 `json:"seq"`
		Batch    uint64 `json:"batch"`
		MaxBytes int    `json:"max_bytes"`
	}{first, last - first + 1, rangeBytes})
	if err != nil {
		return nil, err
	}
	inbox := s.nc.NewRespInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+s.stream, inbox, request); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for {
		reply, err := sub.NextMsgWithContext(limited)
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			return found, ErrNoAnswer
		case err != nil:
			return found, err
		}
		// What a direct get of one message does not add.
		_ = takeLast(reply.Header, "Nats-Num-Pending")
		_ = takeLast(reply.Header, "Nats-Last-Sequence")
		m, ok := directMessage(reply)
		if !ok {
			return found, statusError(reply)
		}
		if m.Seq > last {
			return found, nil
		}
		found = append(found, m)
	}
}

// statusError is nil for the statuses with which a direct get properly ends.
func statusError(reply *nats.Msg) error {
	switch status := reply.Header.Get("Status"); status {
	case "204", "404":
		return nil
	default:
		return fmt.Errorf("status %s: %s", status, reply.Header.Get("Description"))
	}
}
