package process

import (
	"context"
	"errors"

	"landfall/message"
	"landfall/producer"
	"landfall/store"
)

// letters are the dead letters as the door wants them.
type letters struct{ *Letters }

var _ producer.DeadLetters = letters{}

func (l letters) List(ctx context.Context, c producer.LetterChoice) (list []*message.DeadLetter, err error) {
	f := store.DeadLetterFilter{Stream: c.Stream, Reason: c.Reason, Since: c.Since, After: store.Letter(c.After), Limit: c.Limit}
	err = l.store.DeadLetters(ctx, f, func(d *message.DeadLetter) error {
		list = append(list, d)
		return nil
	})
	return list, err
}

// Retry retries the one that waits at a place.
func (l letters) Retry(ctx context.Context, stream string, seq uint64) (producer.RetriedLetter, error) {
	d, err := l.Find(ctx, stream, seq, false)
	if err != nil {
		return producer.RetriedLetter{}, err
	}
	if d == nil {
		return producer.RetriedLetter{}, producer.ErrNoLetter
	}
	done, err := l.Letters.Retry(ctx, d, nil)
	var still *store.StillRefused
	switch {
	case errors.As(err, &still):
		err = &producer.StillRefused{Reason: still.Reason}
	case errors.Is(err, store.ErrResolved):
		err = producer.ErrNoLetter
	}
	return producer.RetriedLetter(done), err
}

// Discard gives the one up that waits at a place.
func (l letters) Discard(ctx context.Context, stream string, seq uint64) (producer.RetriedLetter, error) {
	d, err := l.Find(ctx, stream, seq, false)
	if err != nil {
		return producer.RetriedLetter{}, err
	}
	if d == nil {
		return producer.RetriedLetter{}, producer.ErrNoLetter
	}
	if err = l.Letters.Discard(ctx, d); errors.Is(err, store.ErrResolved) {
		err = producer.ErrNoLetter
	}
	return producer.RetriedLetter{Resolution: "discarded"}, err
}
