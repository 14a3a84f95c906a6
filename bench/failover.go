package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"landfall/drill"
)

// pulse is the longest time without a beat.
type pulse struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
	beats   int
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.last.IsZero() {
		p.longest = max(p.longest, now.Sub(p.last))
	}
	p.last = now
	p.beats++
}

// begin forgets what was, but for the last beat.
func (p *pulse) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest, p.beats = 0, 0
}

// read is the longest time without a beat since begin, and how many there were.
func (p *pulse) read() (time.Duration, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.longest, p.beats
}

// beatsAfter is how many beats count as going on again.
const beatsAfter = 500

func measureFailover(ctx context.Context, o *options, p *progress) ([]row, error) {
	ack := row{Line: "failover, kill -9 of the leader to the next ack", Unit: "s", Beside: "NATS' own election timers", Note: "goal: median 1.2 s, never above 2.5 s"}
	stored := row{Line: "failover, kill -9 of the storing node to the next row", Unit: "s", Beside: "NATS' own election timers"}
	term := row{Line: "failover, SIGTERM of the leader to the next ack", Unit: "s", Goal: 0.3}
	stock := time.Duration(0)
	for _, f := range []struct {
		timeout *time.Duration
		ack     *series
		stored  *series
	}{
		{nil, &ack.Subject, &stored.Subject},
		{&stock, &ack.Limit, &stored.Limit},
	} {
		err := failovers(ctx, o, f.timeout, func(ctx context.Context, r *round) error {
			for i := range o.rounds {
				a, s, err := r.end(ctx, r.stage.cluster.Kill)
				if err != nil {
					return err
				}
				*f.ack, *f.stored = append(*f.ack, a), append(*f.stored, s)
				p.say("kill -9 %d: %s s without an ack, %s s without a row", i+1, number(a), number(s))
			}
			for i := 0; f.timeout == nil && i < o.rounds; i++ {
				a, _, err := r.end(ctx, r.stage.cluster.Term)
				if err != nil {
					return err
				}
				term.Subject = append(term.Subject, a)
				p.say("SIGTERM %d: %s s without an ack", i+1, number(a))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return []row{ack, stored, term}, nil
}

// round is a cluster under publishers who never stop.
type round struct {
	stage *stage
	acks  pulse
	rows  pulse
}

// failovers runs a cluster with publishers and somebody who watches the rows
// while do is at work.
func failovers(ctx context.Context, o *options, timeout *time.Duration, do func(context.Context, *round) error) error {
	s, err := startStage(ctx, o, drill.Options{ElectionTimeout: timeout})
	if err != nil {
		return err
	}
	defer s.close()
	r := &round{stage: s}
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, running := errgroup.WithContext(running)
	door := s.cluster.HTTPDoor(callers)
	defer door.Close()
	for range callers {
		g.Go(func() error {
			for running.Err() == nil {
				id := uuid.NewString()
				told := drill.Deliver(running, door, drill.Message{ID: id, Subject: "messages.bench", Body: []byte(id)}, upWithin)
				if told.Outcome == drill.Acked {
					r.acks.beat()
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		var at uint64
		for running.Err() == nil {
			if now, _, err := s.watch.Cursor(running, drill.Stream); err == nil && now != at {
				at = now
				r.rows.beat()
			}
			if pause(running, time.Millisecond) != nil {
				break
			}
		}
		return nil
	})
	err = do(running, r)
	stop()
	return errors.Join(err, g.Wait())
}

// end ends the node that leads and stores, waits until both go on, starts it
// again, and returns the longest silences in seconds.
func (r *round) end(ctx context.Context, how func(context.Context, string) (string, error)) (ack, stored float64, err error) {
	c := r.stage.cluster
	within, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	leaders, err := drill.AwaitLeaders(within, r.stage.nc, drill.Stream, drill.Leaders.Complete)
	if err != nil {
		return 0, 0, err
	}
	victim := leaders.Stream
	if err := drill.LeadBoth(within, r.stage.nc, drill.Stream, victim); err != nil {
		return 0, 0, err
	}
	if err := r.goOn(within); err != nil { // the move itself has a silence of its own
		return 0, 0, err
	}
	r.acks.begin()
	r.rows.begin()
	if _, err := how(within, victim); err != nil {
		return 0, 0, err
	}
	if err := r.goOn(within); err != nil {
		return 0, 0, err
	}
	acked, _ := r.acks.read()
	written, _ := r.rows.read()
	if err := c.Start(victim); err != nil {
		return 0, 0, err
	}
	return acked.Seconds(), written.Seconds(), c.AwaitReady(within)
}

// goOn waits until messages are acknowledged and stored again for a while.
func (r *round) goOn(ctx context.Context) error {
	_, acked := r.acks.read()
	_, stored := r.rows.read()
	for {
		_, a := r.acks.read()
		_, s := r.rows.read()
		if a >= acked+beatsAfter && s >= stored+beatsAfter/10 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for acknowledgements and rows: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
