package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"landfall/drill"
)

// callers is how many wait for an answer at once, where each sends one message
// after the other.
const callers = 64

func measureNDJSON(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.tellPlacement(ctx, p); err != nil {
		return nil, err
	}
	r := row{Line: fmt.Sprintf("publish NDJSON, batches of 50,000 x %d B", o.size), Unit: "msg/s", Beside: "nats.go PublishMsgAsync, same ids and sizes", Goal: 0.9, Least: true}
	for round := range o.rounds {
		if err := inTurns(round,
			func() error { return add(&r.Subject)(s.publishNDJSON(ctx, "messages.bench", o.messages/2, o.size)) },
			func() error {
				return add(&r.Limit)(s.publishAsync(ctx, "messages.bench", o.messages/2, o.size))
			},
			func() error { return s.settle(ctx, drill.Stream) },
		); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		p.say("round %d: NDJSON %s msg/s, nats.go async %s", round+1, number(r.Subject[round]), number(r.Limit[round]))
	}
	return []row{r}, nil
}

// inTurns measures the one and the other, in changing order, each from rest.
func inTurns(round int, one, other, rest func() error) error {
	if round%2 == 1 {
		one, other = other, one
	}
	for _, do := range []func() error{rest, one, rest, other} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// add appends a figure, if there is no error.
func add(s *series) func(float64, error) error {
	return func(f float64, err error) error {
		if err == nil {
			*s = append(*s, f)
		}
		return err
	}
}

// linesEach is how many lines a batch has.
const linesEach = 50_000

// publishNDJSON sends batches of lines to one node, one after the other.
func (s *stage) publishNDJSON(ctx context.Context, subject string, n, size int) (float64, error) {
	host, run := s.sameNode(), nats.NewInbox()[7:]
	oneLine := append(text(size), '\n')
	began := time.Now()
	for sent := 0; sent < n; {
		count := min(linesEach, n-sent)
		body := bytes.Repeat(oneLine, count)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/v1/publish/"+subject, bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d", run, sent))
		if err := answered(http.DefaultClient.Do(req)); err != nil {
			return 0, err
		}
		sent += count
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// sameNode is the HTTP address of the node that nats.go is connected to: one that
// leads the stream acknowledges sooner than one that passes the messages on.
func (s *stage) sameNode() string {
	for i, url := range s.cluster.ClientURLs() {
		if url == s.nc.ConnectedUrl() {
			return s.cluster.HTTPHosts()[i]
		}
	}
	return s.cluster.HTTPHosts()[0]
}

// answered reads an answer, which must be 200.
func answered(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

func measureSingle(ctx context.Context, o *options, p *progress) ([]row, error) {
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := row{Line: fmt.Sprintf("publish single, HTTP, %d callers, %d B", callers, o.size), Unit: "msg/s", Beside: fmt.Sprintf("nats.go PublishMsg, %d callers", callers), Goal: 0.7, Least: true}
	lasting := o.lasting(5 * time.Second)
	for round := range o.rounds {
		if err := inTurns(round,
			func() error { return add(&r.Subject)(s.callHTTP(ctx, lasting, o.size)) },
			func() error { return add(&r.Limit)(s.callNATS(ctx, lasting, o.size)) },
			func() error { return s.settle(ctx, drill.Stream) },
		); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		p.say("round %d: HTTP %s msg/s, nats.go %s", round+1, number(r.Subject[round]), number(r.Limit[round]))
	}
	return []row{r}, nil
}

// call has the callers repeat something for so long, and returns how often a
// second it was done.
func call(ctx context.Context, lasting time.Duration, do func(ctx context.Context, caller, i int) error) (float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	var done atomic.Int64
	for caller := range callers {
		g.Go(func() error {
			for i := 0; time.Since(began) < lasting; i++ {
				if err := do(ctx, caller, i); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), err
}

// callHTTP has the callers spread over the nodes.
func (s *stage) callHTTP(ctx context.Context, lasting time.Duration, size int) (float64, error) {
	hosts, run, body := s.cluster.HTTPHosts(), nats.NewInbox()[7:], string(text(size))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	return call(ctx, lasting, func(ctx context.Context, caller, i int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+hosts[caller%len(hosts)]+"/v1/publish/messages.bench", strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d-%d", run, caller, i))
		return answered(client.Do(req))
	})
}

// callNATS has them spread over as many connections.
func (s *stage) callNATS(ctx context.Context, lasting time.Duration, size int) (float64, error) {
	run, body := nats.NewInbox()[7:], text(size)
	var doors []jetstream.JetStream
	for _, url := range s.cluster.ClientURLs() {
		nc, err := nats.Connect(url)
		if err != nil {
			return 0, err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return 0, err
		}
		doors = append(doors, js)
	}
	return call(ctx, lasting, func(ctx context.Context, caller, i int) error {
		_, err := doors[caller%len(doors)].PublishMsg(ctx, &nats.Msg{Subject: "messages.bench", Data: body, Header: nats.Header{
			jetstream.MsgIDHeader: {fmt.Sprintf("%s-%d-%d", run, caller, i)}}})
		return err
	})
}

// text is a body as people send it, of so many bytes.
func text(size int) []byte {
	const phrase = `{"sensor":"north-7","value":21.4,"unit":"C","note":"as measured"}`
	if size < len(phrase) {
		return []byte(`"` + strings.Repeat("x", max(size-2, 0)) + `"`)
	}
	const tail = `{"sensor":"north-7","value":21.4,"unit":"C","note":"`
	return []byte(tail + strings.Repeat("as measured ", size/12+1)[:size-len(tail)-2] + `"}`)
}
