package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/drill"
)

// measureLatency publishes at fixed rates and notes when each message can be
// seen by another session. A message counts from when the timer says that it is
// due, and one that the publisher could not get round to in time from when it
// should have: else a stall would hide those behind it (coordinated omission).
func measureLatency(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.tellPlacement(ctx, p); err != nil {
		return nil, err
	}
	var rows []row
	for _, rate := range []int{100, 1_000, 5_000} {
		what := fmt.Sprintf("publish to visible, %s msg/s", number(float64(rate)))
		p50 := row{Line: what + ", p50", Unit: "ms", Beside: "one PubAck + one commit, p50"}
		p99, most := row{Line: what + ", p99", Unit: "ms"}, row{Line: what + ", max", Unit: "ms"}
		if rate == 1_000 {
			p99.Goal = 10
			p50.Note = "goal for p50: 4 ms"
		}
		for round := range o.rounds {
			seen, err := s.visible(ctx, rate, o.lasting(5*time.Second), o.size)
			if err != nil {
				return nil, fmt.Errorf("%d msg/s: %w", rate, err)
			}
			beside, err := s.ackAndCommit(ctx, 200, o.size)
			if err != nil {
				return nil, err
			}
			p50.Subject, p99.Subject = append(p50.Subject, percentile(seen, 50)), append(p99.Subject, percentile(seen, 99))
			most.Subject, p50.Limit = append(most.Subject, percentile(seen, 100)), append(p50.Limit, beside)
			p.say("round %d: %d msg/s: p50 %s ms, p99 %s, max %s; one PubAck and one commit %s ms", round+1, rate,
				number(p50.Subject[round]), number(p99.Subject[round]), number(most.Subject[round]), number(beside))
		}
		rows = append(rows, p50, p99, most)
	}
	return rows, nil
}

// look is how often one looks: it adds half of that to every figure.
const look = 300 * time.Microsecond

// visible returns how many ms each message took.
func (s *stage) visible(ctx context.Context, rate int, lasting time.Duration, size int) (series, error) {
	base, err := s.lastSeq(ctx, drill.Stream)
	if err != nil {
		return nil, err
	}
	if err := s.watch.AwaitCursor(ctx, drill.Stream, base, upWithin); err != nil {
		return nil, err
	}
	n := int(lasting.Seconds() * float64(rate))
	due := make([]time.Time, n)
	began := time.Now().Add(10 * time.Millisecond)
	for i := range due {
		due[i] = began.Add(time.Duration(i) * time.Second / time.Duration(rate))
	}
	deadline := due[n-1].Add(upWithin)
	failed := make(chan error, 1)
	go func() { failed <- s.publishOnTime(ctx, due, size) }()
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	var stream int64
	if err := conn.QueryRow(ctx, "SELECT max(id) FROM landfall.streams").Scan(&stream); err != nil {
		return nil, err
	}
	// The only publisher is this one, so that the sequences are in the order of
	// its messages.
	at := make([]time.Time, 0, n)
	for len(at) < n {
		var last int64
		if err := conn.QueryRow(ctx, "SELECT coalesce(max(seq), 0) FROM public.messages WHERE stream_id = $1", stream).Scan(&last); err != nil {
			return nil, err
		}
		now := time.Now()
		for len(at) < n && int64(base)+int64(len(at)) < last {
			at = append(at, now)
		}
		if now.After(deadline) {
			return nil, fmt.Errorf("%d of %d messages were seen within %s", len(at), n, upWithin)
		}
		if err := pause(ctx, look); err != nil { // leaves the cores to what is measured
			return nil, err
		}
	}
	if err := <-failed; err != nil {
		return nil, err
	}
	seen := make(series, n)
	for i := range at {
		seen[i] = milliseconds(at[i].Sub(due[i]))
	}
	return seen, nil
}

// publishOnTime sends each message when it is due, and waits for nobody. Where
// it had to wait for the time, due becomes when the timer fired: how late that
// is says something of the machine alone.
func (s *stage) publishOnTime(ctx context.Context, due []time.Time, size int) error {
	body, run := text(size), nats.NewInbox()
	for i, at := range due {
		if wait := time.Until(at); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return err
			}
			due[i] = time.Now()
		}
		_, err := s.js.PublishMsgAsync(&nats.Msg{Subject: "messages.bench", Data: body, Header: nats.Header{
			jetstream.MsgIDHeader: {fmt.Sprintf("%s/%d", run, i)}}}, jetstream.WithStallWait(10*time.Second))
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	select {
	case <-s.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ackAndCommit is the least that publish to visible can take: the median of a
// PubAck and that of a commit, in ms.
func (s *stage) ackAndCommit(ctx context.Context, n, size int) (float64, error) {
	if _, err := s.db.Exec(ctx, "CREATE TABLE IF NOT EXISTS commits (content text)"); err != nil {
		return 0, err
	}
	body := text(size)
	var acks, commits series
	for range n {
		began := time.Now()
		if _, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: "messages.bench", Data: body}); err != nil {
			return 0, err
		}
		acks = append(acks, milliseconds(time.Since(began)))
		began = time.Now()
		if _, err := s.db.Exec(ctx, "INSERT INTO commits VALUES ($1)", string(body)); err != nil {
			return 0, err
		}
		commits = append(commits, milliseconds(time.Since(began)))
	}
	return percentile(acks, 50) + percentile(commits, 50), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func measureStored(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	p50 := row{Line: "ack=stored, HTTP, one caller, p50", Unit: "ms", Beside: "one PubAck + one commit, p50", Note: "goal for p50: 6 ms"}
	p99 := row{Line: "ack=stored, HTTP, one caller, p99", Unit: "ms"}
	hosts := s.cluster.HTTPHosts()
	for round := range o.rounds {
		var took series
		for i := range 50 * len(hosts) {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+hosts[i%len(hosts)]+"/v1/publish/messages.bench?ack=stored", strings.NewReader(string(text(o.size))))
			if err != nil {
				return nil, err
			}
			began := time.Now()
			if err := answered(http.DefaultClient.Do(req)); err != nil {
				return nil, err
			}
			took = append(took, milliseconds(time.Since(began)))
		}
		beside, err := s.ackAndCommit(ctx, 150, o.size)
		if err != nil {
			return nil, err
		}
		p50.Subject, p99.Subject = append(p50.Subject, percentile(took, 50)), append(p99.Subject, percentile(took, 99))
		p50.Limit = append(p50.Limit, beside)
		p.say("round %d: p50 %s ms, p99 %s; one PubAck and one commit %s ms", round+1, number(p50.Subject[round]), number(p99.Subject[round]), number(beside))
	}
	return []row{p50, p99}, nil
}
