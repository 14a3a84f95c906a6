package producer

import (
	"errors"
	"fmt"
	"time"
)

// answered takes what came back for an attempt. An acknowledgement counts
// whichever attempt it is for: it is the same message. Anything else counts
// only for the last one.
func (f *flight) answered(a reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.window.at(a.pos)
	if f.over || p == nil || p.condition != waiting {
		return // answered before
	}
	switch {
	case a.err == nil && a.ack.Stream == f.stream:
		f.acknowledged(p, a)
	case a.attempt != p.attempt:
	case a.err == nil:
		// Somebody else answered on that subject. The stream may still do.
		f.watch.stranger = fmt.Errorf("%w: %s answered, not %s", errStranger, a.ack.Stream, f.stream)
	default:
		f.failed(a.pos, p, a.err)
	}
}

func (f *flight) acknowledged(p *place, a reply) {
	if a.ack.Duplicate && !p.m.made { // nobody but this request knows an id made here
		f.heard(a.pos, known)
		f.known = append(f.known, repeat{pos: a.pos, seq: a.ack.Sequence, m: p.m})
		f.repeat.Signal()
		return
	}
	f.heard(a.pos, settled)
	f.tally.acknowledge(p.m.id, a.ack.Sequence, false)
	f.settle(p)
}

// heard says that the place needs no acknowledgement any more.
func (f *flight) heard(pos uint64, now condition) {
	oldest := f.window.heard(pos, now)
	f.watch.heard(time.Now(), oldest)
	if f.watch.phase != flowing && (f.window.waiting == 0 || f.watch.phase == probing && pos == f.watch.probe) {
		f.tell()
	}
}

// settle is the end of a message: acknowledged, or refused for good.
func (f *flight) settle(p *place) {
	f.room.give(p.size)
	f.window.settle(p)
	f.retire()
	if f.window.messages <= f.resume {
		f.reader.Signal()
	}
}

func (f *flight) retire() {
	for p, ok := f.window.retire(); ok; p, ok = f.window.retire() {
		f.tally.through = p.n
		if p.err != nil {
			f.tally.refuse(&p)
		}
	}
	if f.read && f.window.empty() {
		f.tell()
	}
}

// end ends the batch, before its end if there is an error.
func (f *flight) end(err error) {
	if f.over {
		return
	}
	f.over, f.err = true, err
	f.reader.Broadcast()
	f.repeat.Broadcast()
	f.tell()
}

func (f *flight) tell() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// failed judges an attempt that was answered with an error, or not sent.
func (f *flight) failed(pos uint64, p *place, err error) {
	final := hopeless(err)
	switch {
	case final == nil:
		p.refused = refused(err)
		if p.attempt == f.watch.attempt { // else it will be sent again anyway
			f.watch.trouble(err)
			f.tell()
		}
	case errors.Is(final, errTooLarge), errors.Is(final, errHeadersTooLarge):
		p.err = fmt.Errorf("%w: %w", final, err)
		f.heard(pos, settled)
		f.settle(p)
	default: // not this message's fault: the others would fare no better
		f.end(fmt.Errorf("%w: %w", final, err))
	}
}
