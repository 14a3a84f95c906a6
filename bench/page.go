package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall/drill"
)

const (
	// pages is how many are open on one node.
	pages = 20

	// pageTime is how long each turn lasts.
	pageTime = 4 * time.Second
)

// measurePage looks at what a node takes of a core while nothing is published,
// with nobody who looks at its status page and with many who do.
func measurePage(ctx context.Context, o *options, p *progress) ([]row, error) {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		p.say("there is no /proc on this machine: left out")
		return nil, nil
	}
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	node := s.cluster.Addresses()[0]
	alone := row{Line: "status page, a node that nobody looks at", Unit: "% of a core"}
	looked := row{Line: fmt.Sprintf("status page, %d open pages add", pages), Unit: "% of a core", Goal: 1}
	for round := range o.rounds {
		quiet, err := s.busy(ctx, node.Name, o.lasting(pageTime))
		if err != nil {
			return nil, err
		}
		watching, stop := context.WithCancel(ctx)
		closed, received, err := openPages(watching, "http://"+node.HTTP+"/events")
		if err != nil {
			stop()
			return nil, err
		}
		before := received.Load()
		with, err := s.busy(ctx, node.Name, o.lasting(pageTime))
		each := float64(received.Load()-before) / pages / o.lasting(pageTime).Seconds()
		stop()
		if err := errors.Join(err, closed()); err != nil {
			return nil, err
		}
		if each == 0 {
			return nil, errors.New("the pages were sent nothing")
		}
		alone.Subject, looked.Subject = append(alone.Subject, quiet), append(looked.Subject, with-quiet)
		looked.Note = fmt.Sprintf("each is sent %s bytes a second", number(each))
		p.say("round %d: nobody looks %.2f %%, %d pages add %.2f %%", round+1, quiet, pages, with-quiet)
	}
	return []row{alone, looked}, nil
}

// openPages opens as many as are measured, and reads what they are sent. closed
// returns when all are closed again.
func openPages(ctx context.Context, url string) (closed func() error, received *atomic.Int64, err error) {
	received = &atomic.Int64{}
	client := &http.Client{Transport: &http.Transport{}}
	opened := make(chan struct{}, pages)
	var all errgroup.Group
	for range pages {
		all.Go(func() error { return readPage(ctx, client, url, opened, received) })
	}
	closed = func() error {
		err := all.Wait()
		client.CloseIdleConnections()
		return err
	}
	for range pages {
		select {
		case <-opened:
		case <-time.After(upWithin):
			return nil, nil, errors.New("the pages do not open")
		case <-ctx.Done():
			return nil, nil, errors.Join(ctx.Err(), closed())
		}
	}
	return closed, received, nil
}

// readPage reads what a page is sent, until ctx ends.
func readPage(ctx context.Context, client *http.Client, url string, opened chan<- struct{}, received *atomic.Int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	opened <- struct{}{}
	_, err = io.Copy(counter{received}, resp.Body)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the page was closed: %w", errors.Join(err, errors.New(resp.Status)))
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// busy is what a node takes of a core over a time, in percent. The kernel's
// schedstat tells it in ns, where stat has ticks of 10 ms.
func (s *stage) busy(ctx context.Context, node string, d time.Duration) (float64, error) {
	before, err := scheduled(s.cluster.PID(node))
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := scheduled(s.cluster.PID(node))
	return 100 * (after - before).Seconds() / time.Since(began).Seconds(), err
}

// scheduled is how long the process's threads have run, those that live.
func scheduled(pid int) (sum time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has just ended
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}
