package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"landfall/mapping"
	"landfall/message"
)

// Current is the row that a message's key has now in the stream's own table,
// as JSON; nil if there is none, or if the message has no key.
func (s *Stream) Current(ctx context.Context, m *message.Message) (json.RawMessage, error) {
	if s.own == nil || len(s.own.table.Key) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	if _, err := s.own.refresh(ctx, s.asking, false); err != nil {
		return nil, explain("prepare "+s.own.table.String(), err)
	}
	plan := s.own.plan.Load()
	encoder, err := newOwnEncoder(plan)
	if err != nil {
		return nil, err
	}
	values, err := encoder.keys.Row(nil, mappingMessage(m))
	if err != nil {
		return nil, nil // whatever its key should be, no row has it
	}
	// The values come in the order of the columns, as the key's mapping has them.
	args := make([]any, 0, len(values))
	var same []string
	for _, c := range plan.columns {
		if !slices.Contains(plan.keyNames(), c.Name) {
			continue
		}
		v := values[len(args)]
		if v.State != mapping.Present {
			return nil, nil
		}
		args = append(args, string(v.Text))
		same = append(same, fmt.Sprintf("t.%s = $%d::text::%s", quoted(c.Name), len(args), c.Cast))
	}
	var row []byte
	err = s.asking.QueryRow(ctx, "SELECT to_jsonb(t) FROM "+plan.table.Sanitize()+" AS t WHERE "+strings.Join(same, " AND "), args...).Scan(&row)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err != nil && classify(err) == data: // the key's text is no value of its type
		return nil, nil
	case err != nil:
		return nil, explain("read the row of a key", err)
	}
	return row, nil
}
