package producer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"landfall/message"
)

// Repeats are compared with what is stored in runs of so much at most.
const (
	rangeMessages = 256
	rangeBytes    = 1 << 20
)

// repeat is a message of a batch whose id JetStream knew.
type repeat struct {
	pos uint64 // in the batch
	seq uint64 // of what is stored under the id
	m   *incoming
}

// same tells whether a stored message is the one that was sent. The first
// body has won: a client that sent another must not be told that it was
// stored.
func (m *incoming) same(stored *message.Message) error {
	if stored.Subject != m.subject || !bytes.Equal(stored.Data, m.data) {
		return fmt.Errorf("%w: message %d of stream %s", errKeyReused, stored.Seq, m.stream)
	}
	return nil
}

// compare reads the message stored at seq under m's id from the stream's
// leader and compares it, repeating the reading until ctx ends.
//
// A stored message that cannot be compared, because its leader does not
// answer or because it was trimmed while its key is still remembered, is
// doubt, and doubt is no 200. The client repeats; once the key is forgotten
// the message goes in again under its id, and Postgres compares.
func (b *Backend) compare(ctx context.Context, bell *bell, m *incoming, seq uint64) error {
	var pause backoff
	for {
		rung := bell.next()
		stored, found, err := b.read(ctx, m.stream, seq)
		switch {
		case err == nil && (!found || stored.ID() != m.id):
			return fmt.Errorf("%w: message %d of stream %s", errTrimmed, seq, m.stream)
		case err == nil:
			return m.same(&stored)
		}
		if !pause.wait(ctx, rung) {
			return fmt.Errorf("%w: message %d of stream %s: %w", errUncompared, seq, m.stream, err)
		}
	}
}

func (b *Backend) read(ctx context.Context, stream string, seq uint64) (message.Message, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	return b.Stored(ctx, stream, seq)
}

// compareRepeats compares the repeats of a batch with what is stored. While
// one run of them is read the next ones gather, so that a batch that is sent
// again is read as it lies in the stream, some hundred messages at a time.
func (f *flight) compareRepeats(ctx context.Context) {
	for {
		run := f.nextRun()
		if run == nil {
			return
		}
		f.compareRun(ctx, run)
	}
}

// nextRun waits for repeats and takes those that lie next to each other. It
// returns nil when the batch has ended.
func (f *flight) nextRun() []repeat {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.known) == 0 && !f.over {
		f.repeat.Wait()
	}
	if f.over {
		return nil
	}
	slices.SortFunc(f.known, func(a, b repeat) int { return cmp.Compare(a.seq, b.seq) })
	n, size := 0, 0
	for n < len(f.known) && f.known[n].seq-f.known[0].seq < rangeMessages && (n == 0 || size < rangeBytes) {
		size += f.known[n].m.size()
		n++
	}
	run := slices.Clone(f.known[:n])
	f.known = slices.Delete(f.known, 0, n)
	return run
}

// compareRun reads one run from any replica. A replica returns what it has,
// up to some size: what comes behind its last message is read once more, as
// long as that leads on. What it misses, the leader is asked for.
func (f *flight) compareRun(ctx context.Context, run []repeat) {
	stored := f.readRange(ctx, run)
	end := uint64(0) // of what that replica returned
	if n := len(stored); n > 0 {
		end = stored[n-1].Seq
	}
	for matched, i := 0, 0; i < len(run); i++ {
		r := run[i]
		if matched > 0 && r.seq > end {
			f.again(run[i:])
			return
		}
		for len(stored) > 0 && stored[0].Seq < r.seq {
			stored = stored[1:]
		}
		var err error
		if len(stored) > 0 && stored[0].Seq == r.seq && stored[0].ID() == r.m.id {
			err = r.m.same(&stored[0])
			matched++
		} else {
			err = f.ask(ctx, r)
		}
		if ctx.Err() != nil || !f.compared(r, err) {
			return
		}
	}
}

func (f *flight) readRange(ctx context.Context, run []repeat) []message.Message {
	if f.backend.Range == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	// The error is no news: what is missing is asked for one by one.
	stored, _ := f.backend.Range(ctx, f.stream, run[0].seq, run[len(run)-1].seq)
	return stored
}

func (f *flight) ask(ctx context.Context, r repeat) error {
	ctx, cancel := context.WithTimeout(ctx, f.deadline)
	defer cancel()
	return f.backend.compare(ctx, f.bell, r.m, r.seq)
}

// again puts repeats back, to be read with the next run.
func (f *flight) again(rest []repeat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = append(f.known, rest...)
}

// compared settles a repeat. It is false if the batch has ended, because of
// it or already.
func (f *flight) compared(r repeat, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	p := f.window.at(r.pos)
	switch {
	case err == nil:
		f.tally.acknowledge(r.m.id, r.seq, true)
		if !p.unknown {
			f.tally.duplicates++
		}
	case errors.Is(err, errKeyReused):
		p.err = err
	default: // in doubt: neither acknowledged nor refused for good
		f.end(err)
		return false
	}
	f.settle(p)
	return true
}
