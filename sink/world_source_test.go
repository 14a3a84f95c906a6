package sink

import (
	"context"
	"fmt"
	"time"

	"landfall/message"
)

// source is a node's Source.
type source struct{ *node }

// ask goes to the stream's leader.
func (s source) ask(ctx context.Context) error {
	if err := pass(ctx, hop); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream.electing {
		return errElecting
	}
	return nil
}

func (s source) Leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leads && !s.stream.electing
}

func (s source) State(ctx context.Context) (message.Stream, error) {
	if err := s.ask(ctx); err != nil {
		return message.Stream{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream.old != nil {
		return *s.stream.old, nil
	}
	return s.stream.state(), nil
}

func (s source) ConfirmedState(ctx context.Context) (message.Stream, error) {
	if err := s.ask(ctx); err != nil {
		return message.Stream{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.state(), nil
}

func (s source) Open(ctx context.Context, from uint64) (Pull, error) {
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if from < 1 {
		return nil, fmt.Errorf("%w: opened at sequence 0", errImpossible)
	}
	st := &s.stream
	p := &pull{world: s.world, wake: make(chan struct{}, 1)}
	// A redelivery: what was delivered before may come once more.
	for i := st.index(from - min(from, 2)); i < len(st.held) && st.held[i].Seq < from; i++ {
		p.ready = append(p.ready, st.held[i])
		signal(p.wake)
	}
	st.pulls = append(st.pulls, p)
	st.next, st.stalled = from, false
	st.resets++
	s.deliver()
	return p, nil
}

func (s source) Nearest(ctx context.Context, seq uint64) (m message.Message, found bool, err error) {
	if err := s.ask(ctx); err != nil {
		return m, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.stream.held[s.stream.index(seq):] {
		for _, n := range s.nodes {
			if !n.missing[m.Seq] {
				return m, true, nil
			}
		}
	}
	return m, false, nil
}

func (s source) Purge(ctx context.Context, seq uint64) error {
	if err := s.ask(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.stream
	if seq < 2 {
		s.wrong = append(s.wrong, fmt.Sprintf("purge below %d would take the whole stream", seq))
		return fmt.Errorf("%w: purge below %d", errImpossible, seq)
	}
	if seq > st.last+1 {
		return fmt.Errorf("purge below %d: the stream ends at %d", seq, st.last)
	}
	for _, m := range st.remove(0, st.index(seq)) {
		if !s.pg.has(m) && !s.pg.stored[string(m.Data)] {
			s.wrong = append(s.wrong, fmt.Sprintf("purge below %d took message %d (%.12q), which Postgres never had", seq, m.Seq, m.Data))
		}
		st.purged[string(m.Data)] = true
		if !s.pg.has(m) {
			s.letGo([]message.Message{m}) // Postgres was restored in this moment
		}
	}
	st.purges = append(st.purges, seq)
	return nil
}

func (s source) Reincarnate(ctx context.Context, old string) (string, error) {
	if err := s.ask(ctx); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream.incarnation == old {
		st := &s.stream
		s.birth()
		st.reborn++
	}
	return s.stream.incarnation, nil
}

func (s source) StepDown(ctx context.Context) error {
	if err := s.ask(ctx); err != nil {
		return err
	}
	s.do(func() { s.steps = append(s.steps, time.Now()) })
	return nil
}

// pull is one pull of the consumer.
type pull struct {
	*world
	ready  []message.Message // arrived, not yet received
	lent   []message.Message // what Recv returned last
	closed bool
	err    error
	wake   chan struct{}
}

func (p *pull) Recv(ctx context.Context) ([]message.Message, error) {
	for {
		p.mu.Lock()
		clear(p.lent) // it was the caller's only until now
		p.lent = nil
		if len(p.ready) > 0 {
			p.lent, p.ready = p.ready, nil
			p.deliver()
			lent := p.lent
			p.mu.Unlock()
			return lent, nil
		}
		err := p.err
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *pull) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}
