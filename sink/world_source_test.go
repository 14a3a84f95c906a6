package sink

import (
	"context"
	"fmt"
	"time"

	"landfall/message"
)

// source is a node's Source.
type source struct {
	*node
	p *process
}

// ask goes to the stream's leader.
func (s source) ask(ctx context.Context, what string) error {
	if err := s.there(ctx, s.p, what); err != nil {
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

func (s source) State(ctx context.Context) (st message.Stream, err error) {
	if err := s.ask(ctx, "state"); err != nil {
		return st, err
	}
	s.do(func() {
		if st = s.stream.state(); s.stream.old != nil {
			st = *s.stream.old
		}
	})
	return st, s.back(ctx, s.p, "state")
}

func (s source) ConfirmedState(ctx context.Context) (st message.Stream, err error) {
	if err := s.ask(ctx, "confirmed state"); err != nil {
		return st, err
	}
	s.do(func() {
		st = s.stream.state()
		if r, old := s.pg.row(st.Incarnation), s.stream.old; r != nil && old != nil && r.cursor.Seq > old.Last && r.cursor.Seq <= st.Last {
			s.decided(overruled)
		}
	})
	return st, s.back(ctx, s.p, "confirmed state")
}

func (s source) Open(ctx context.Context, from uint64) (Pull, error) {
	if err := s.ask(ctx, "open"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if from < 1 {
		return nil, fmt.Errorf("%w: opened at sequence 0", errImpossible)
	}
	st := &s.stream
	p := &pull{world: s.world, wake: make(chan struct{}, 1), due: from}
	s.judgeOpen(from)
	s.p.open = true
	again := uint64(2) // a redelivery: what was delivered before may come once more
	if seeds := s.options.seeds; seeds != nil {
		again = seeds[0] % 3
	}
	for i := st.index(from - min(from, again)); i < len(st.held) && st.held[i].Seq < from; i++ {
		p.ready = append(p.ready, st.held[i])
		signal(p.wake)
	}
	st.pulls = append(st.pulls, p)
	st.next, st.stalled = from, false
	st.resets++
	s.decided(activated)
	s.deliver()
	return p, nil
}

func (s source) Nearest(ctx context.Context, seq uint64) (m message.Message, found bool, err error) {
	if err := s.ask(ctx, "nearest"); err != nil {
		return m, false, err
	}
	if seq < 1 {
		return m, false, fmt.Errorf("%w: asked for the message at 0", errImpossible)
	}
	s.do(func() {
		if m, found = s.nearest(seq); found {
			s.fetched = m.Seq
		}
	})
	return m, found, s.back(ctx, s.p, "nearest")
}

// nearest looks on every replica; in do.
func (w *world) nearest(seq uint64) (m message.Message, found bool) {
	for _, m := range w.stream.held[w.stream.index(seq):] {
		for _, n := range w.nodes {
			if !n.missing[m.Seq] {
				return m, true
			}
		}
	}
	return m, false
}

func (s source) Purge(ctx context.Context, seq uint64) error {
	if err := s.ask(ctx, "purge"); err != nil {
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
	s.judgePurge(seq)
	for _, m := range st.remove(0, st.index(seq)) {
		st.purged[keyOf(m.Time)] = true
		if !s.pg.has(m) {
			s.letGo([]message.Message{m}) // Postgres was restored in this moment
		}
	}
	st.purges = append(st.purges, seq)
	return nil
}

func (s source) Reincarnate(ctx context.Context, old string) (incarnation string, err error) {
	if err := s.ask(ctx, "reincarnate"); err != nil {
		return "", err
	}
	s.do(func() {
		if s.stream.incarnation == old {
			s.birth()
			s.stream.reborn++
			s.decided(tailLostSeen)
		}
		incarnation = s.stream.incarnation
	})
	return incarnation, s.back(ctx, s.p, "reincarnate")
}

func (s source) Behind(ctx context.Context) (lacks uint64, err error) {
	if err := s.ask(ctx, "behind"); err != nil {
		return 0, err
	}
	s.do(func() { lacks = s.behind })
	return lacks, s.back(ctx, s.p, "behind")
}

func (s source) StepDown(ctx context.Context) error {
	s.do(func() { s.judgeStepDown(s.p) })
	if err := s.ask(ctx, "step down"); err != nil {
		return err
	}
	s.do(func() {
		s.steps = append(s.steps, time.Now())
		if s.options.handsOver {
			s.turn(false)
			s.nodes[(s.number+1)%len(s.nodes)].turn(true)
			s.breakPulls()
		}
	})
	return nil
}

// pull is one pull of the consumer.
type pull struct {
	*world
	ready  []message.Message // arrived, not yet received
	lent   []message.Message // what Recv returned last
	due    uint64            // what comes next if nothing is skipped or repeated
	holed  bool              // something was skipped
	closed bool
	err    error
	wake   chan struct{}
}

func (p *pull) Recv(ctx context.Context) ([]message.Message, error) {
	for {
		p.mu.Lock()
		if p.holed {
			p.wrong = append(p.wrong, fmt.Sprintf("a pull is used behind a hole, up to %d", p.due-1))
		}
		clear(p.lent) // it was the caller's only until now
		p.lent = nil
		if len(p.ready) > 0 {
			p.lent, p.ready = p.ready, nil
			p.deliver()
			lent := p.lent
			p.inspect(lent)
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

// inspect counts what the sequence check is about to decide; in do.
func (p *pull) inspect(ms []message.Message) {
	for i := range ms {
		switch seq := ms[i].Seq; {
		case seq < p.due:
			p.decided(lower)
			continue
		case seq > p.due:
			p.decided(higher)
			p.holed = true
		}
		p.due = ms[i].Seq + 1
	}
}
