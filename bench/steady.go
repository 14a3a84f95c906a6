package main

import (
	"context"
	"fmt"
	"time"

	"landfall/drill"
)

// lagLimit is how far Postgres may be behind at the end of a steady run: as
// much as is on its way in a second.
const lagLimit = time.Second

// measureSteady publishes and stores at once: first at full speed, which gives
// the rate to begin with, then for a minute at the highest rate that keeps up.
func measureSteady(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	drained, err := s.drain(ctx, drill.Stream, "messages.bench", o.messages, o.size)
	if err != nil {
		return nil, err
	}
	full, err := s.publishAsync(ctx, "messages.bench", o.messages, o.size)
	if err != nil {
		return nil, err
	}
	p.say("drain %s rows/s; publish at full speed, while it is stored, %s msg/s", number(drained), number(full))
	r := row{Line: "steady, publish and store", Unit: "msg/s", Beside: "the lower of publish and drain alone", Limit: series{min(full, drained)}}
	for share := 1.0; share > 0.3; share -= 0.1 {
		if err := s.settle(ctx, drill.Stream); err != nil {
			return nil, err
		}
		rate, lag, err := s.keepUp(ctx, full*share, o.lasting(time.Minute), o.size)
		if err != nil {
			return nil, err
		}
		p.say("%s msg/s for %s: Postgres %s behind at the end", number(rate), o.lasting(time.Minute), lag.Round(time.Millisecond))
		if lag <= lagLimit {
			r.Subject = series{rate}
			r.Note = fmt.Sprintf("for %s; Postgres %s behind at the end", o.lasting(time.Minute), lag.Round(time.Millisecond))
			return []row{r}, nil
		}
	}
	return nil, fmt.Errorf("nothing above a third of %s msg/s keeps up", number(full))
}

// keepUp publishes at a rate, and tells the rate that it came to and how long
// Postgres took for the rest.
func (s *stage) keepUp(ctx context.Context, rate float64, lasting time.Duration, size int) (float64, time.Duration, error) {
	const slice = 100 * time.Millisecond
	each := int(rate * slice.Seconds())
	began := time.Now()
	sent := 0
	for due := began; time.Since(began) < lasting; due = due.Add(slice) {
		if err := pause(ctx, time.Until(due)); err != nil {
			return 0, 0, err
		}
		if _, err := s.publishAsync(ctx, "messages.bench", each, size); err != nil {
			return 0, 0, err
		}
		sent += each
	}
	took := time.Since(began)
	behind := time.Now()
	err := s.settle(ctx, drill.Stream)
	return float64(sent) / took.Seconds(), time.Since(behind), err
}
