package main

import (
	"context"
	"fmt"

	"landfall/drill"
)

func measureSizes(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	var rows []row
	sizes := []int{64, 1 << 10, 16 << 10, 256 << 10}
	if o.quick {
		sizes = []int{64, 16 << 10}
	}
	for _, size := range sizes {
		n := max(200, min(o.messages/2, o.scaled(64<<20)/size)) // up to 64 MiB
		name := sizeName(size)
		drained := row{Line: fmt.Sprintf("drain, %s x %s", number(float64(n)), name), Unit: "MB/s", Beside: "the best of bare COPY"}
		lines := row{Line: fmt.Sprintf("publish NDJSON, %s x %s", number(float64(n)), name), Unit: "MB/s", Beside: "nats.go PublishMsgAsync"}
		mb := float64(size) / 1e6
		for range o.rounds {
			d, err := s.drain(ctx, drill.Stream, "messages.bench", n, size)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			best, err := s.bestCopy(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: COPY: %w", name, err)
			}
			l, err := s.publishNDJSON(ctx, "messages.bench", n, size)
			if err != nil {
				return nil, fmt.Errorf("%s: NDJSON: %w", name, err)
			}
			if err := s.settle(ctx, drill.Stream); err != nil {
				return nil, err
			}
			a, err := s.publishAsync(ctx, "messages.bench", n, size)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if err := s.settle(ctx, drill.Stream); err != nil {
				return nil, err
			}
			drained.Subject, drained.Limit = append(drained.Subject, d*mb), append(drained.Limit, best*mb)
			lines.Subject, lines.Limit = append(lines.Subject, l*mb), append(lines.Limit, a*mb)
		}
		p.say("%s: drain %s MB/s beside %s, NDJSON %s beside %s", name, number(drained.Subject.median()), number(drained.Limit.median()), number(lines.Subject.median()), number(lines.Limit.median()))
		rows = append(rows, drained, lines)
	}
	return rows, nil
}

func sizeName(size int) string {
	if size < 1<<10 {
		return fmt.Sprintf("%d B", size)
	}
	return fmt.Sprintf("%d KiB", size>>10)
}
