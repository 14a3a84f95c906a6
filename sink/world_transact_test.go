package sink

import (
	"context"
	"errors"
	"time"

	"landfall/message"
)

// reach goes to Postgres.
func (s store) reach(ctx context.Context, what string) error {
	if err := s.there(ctx, s.p, what); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reaches() {
		return errAway
	}
	return nil
}

// acquire locks the row until the returned function is called.
func (s store) acquire(ctx context.Context, r *row) (release func(), err error) {
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	s.do(func() {
		if len(r.lock) > 0 && r.holder != nil && r.holder != s.node {
			s.decided(waited)
		}
	})
	select {
	case r.lock <- struct{}{}:
		s.do(func() { r.holder = s.node })
		return func() { <-r.lock }, nil
	case <-timeout.C:
		return nil, errors.New("lock timeout")
	case <-s.p.killed:
		return nil, errKilled
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// transaction is one that moves a cursor or enters one.
type transaction struct {
	what  string
	whole bool         // all of it is sent at once
	row   *row         // locked
	check func() error // in do; an error rolls back
	apply func()       // in do
}

// transact commits, if the check allows it, with whatever faults are due.
func (s store) transact(ctx context.Context, tx transaction) error {
	err := s.attempt(ctx, tx)
	if setup := (*message.SetupError)(nil); errors.As(err, &setup) {
		s.do(func() { s.paused = time.Now() })
	}
	return err
}

func (s store) attempt(ctx context.Context, tx transaction) error {
	epoch := 0
	s.do(func() {
		epoch = s.pg.epoch
		s.judgeTransaction(s.p, tx)
	})
	due, took := s.meets()
	if due == late && !tx.whole {
		due = ghost
	}
	if due == late {
		s.ghosts.Go(func() { s.arriveLate(tx, epoch) })
		return errLost
	}
	release, err := s.acquire(ctx, tx.row)
	if err != nil {
		return err
	}
	commit := func() error { return s.commit(tx, epoch, due) }
	orphan := func() { // the server goes on without the client
		s.ghosts.Go(func() {
			defer release()
			wait(context.Background(), 2*time.Second)
			s.unheard(tx, commit())
		})
	}
	switch due {
	case ghost:
		orphan()
		return errLost
	case hangs:
		took = deadline
	}
	if err := s.p.pass(ctx, s.latency(tx.what)+took); err != nil {
		if errors.Is(err, errKilled) && s.dice("killed")%2 == 0 {
			orphan()
			return err
		}
		release()
		s.unheard(tx, err)
		return err
	}
	defer release()
	switch due {
	case refused, hangs:
		s.unheard(tx, errLost)
		return errLost
	case setup:
		return &message.SetupError{Reason: "copy into messages", Advice: "grant INSERT", Err: errors.New("permission denied")}
	case lost:
		err := commit()
		if err == nil {
			s.unheard(tx, nil)
			err = errLost
		}
		return err
	}
	return commit()
}

// arriveLate carries out a transaction whose client has given up. Until it
// comes it has locked nothing.
func (s store) arriveLate(tx transaction, epoch int) {
	wait(context.Background(), 3*time.Second)
	select {
	case tx.row.lock <- struct{}{}:
	case <-time.After(5 * time.Second):
		return
	}
	defer func() { <-tx.row.lock }()
	err := s.commit(tx, epoch, late)
	s.unheard(tx, err)
	s.do(func() {
		if err == nil {
			s.decided(cameLate)
		} else if errors.Is(err, message.ErrMoved) {
			s.decided(cameTooLate)
		}
	})
}

// meets is what befalls the next transaction, and how long it takes.
func (s store) meets() (due fault, took time.Duration) {
	s.do(func() {
		took = s.pg.slow
		if len(s.pg.fault) > 0 {
			due, s.pg.fault = s.pg.fault[0], s.pg.fault[1:]
		}
	})
	return due, took
}

// commit is what the server does.
func (s store) commit(tx transaction, epoch int, due fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pg.epoch != epoch {
		s.decided(restoredUnderWay)
		return errLost
	}
	if s.pg.away && due != lost {
		return errLost
	}
	if err := tx.check(); err != nil {
		return err
	}
	tx.apply()
	for _, r := range s.pg.rows {
		s.pg.reached[r.cursor.Incarnation] = max(s.pg.reached[r.cursor.Incarnation], r.cursor.Seq)
	}
	return nil
}

// unheard counts a transaction whose end its client did not hear of.
func (s store) unheard(tx transaction, err error) {
	s.do(func() {
		if err == nil {
			s.decided(decision("unknown: " + tx.what + ", committed"))
		} else {
			s.decided(decision("unknown: " + tx.what + ", not committed"))
		}
	})
}
