package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// ErrUnknownStream says that Postgres knows nothing of a stream, or not of
// this incarnation of it.
var ErrUnknownStream = errors.New("nothing of the stream has come to Postgres yet")

// Accept notes that it is the data: messages of the stream up to sequence
// through that cannot be stored become dead letters, however many in a row
// fail alike. It takes the place of what was said before. incarnation is the
// stream's UUID; "": the latest that Postgres knows. Errors: ErrUnknownStream,
// *message.SetupError, or an outage.
func (s *Store) Accept(ctx context.Context, stream, incarnation string, through uint64) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	tag, err := s.asking.Exec(ctx, `UPDATE landfall.streams SET accept_bad_through = $4 WHERE id = (
			SELECT id FROM landfall.streams WHERE cluster = $1 AND name = $2 AND ($3 = '' OR incarnation::text = $3) ORDER BY id DESC LIMIT 1)`,
		s.cluster, stream, incarnation, int64(through))
	if err != nil {
		return explain("note that bad messages are accepted", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrUnknownStream
	}
	return nil
}

// Accepted is up to where Accept was said of the stream's latest incarnation;
// 0: nowhere. It waits for nobody.
func (s *Stream) Accepted(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	var through int64
	err := s.pool.QueryRow(ctx, `SELECT coalesce(accept_bad_through, 0) FROM landfall.streams
		WHERE cluster = $1 AND name = $2 ORDER BY id DESC LIMIT 1`, s.cluster, s.name).Scan(&through)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, explain("read what is accepted", err)
	}
	return uint64(max(through, 0)), nil
}
