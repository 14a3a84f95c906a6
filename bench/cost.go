package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"landfall/drill"
)

// clockTick is what /proc counts CPU time in: USER_HZ, 100 a second on every
// Linux that Go runs on.
const clockTick = 10 * time.Millisecond

func measureCost(ctx context.Context, o *options, p *progress) ([]row, error) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		p.say("there is no /proc on this machine: left out")
		return nil, nil
	}
	s, err := startStage(ctx, o, drill.Options{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	nodes := row{Line: "cost, CPU of the nodes, publish and store", Unit: "us/message"}
	postgres := row{Line: "cost, CPU of Postgres", Unit: "us/message"}
	idle, err := s.memory()
	if err != nil {
		return nil, err
	}
	for round := range o.rounds {
		before, err := s.cpu()
		if err != nil {
			return nil, err
		}
		if _, err := s.publishAsync(ctx, "messages.bench", o.messages, o.size); err != nil {
			return nil, err
		}
		if err := s.settle(ctx, drill.Stream); err != nil {
			return nil, err
		}
		after, err := s.cpu()
		if err != nil {
			return nil, err
		}
		each := func(a, b time.Duration) float64 { return float64((a - b).Microseconds()) / float64(o.messages) }
		nodes.Subject, postgres.Subject = append(nodes.Subject, each(after.nodes, before.nodes)), append(postgres.Subject, each(after.postgres, before.postgres))
		p.say("round %d: nodes %s us a message, Postgres %s", round+1, number(nodes.Subject[round]), number(postgres.Subject[round]))
	}
	loaded, err := s.memory()
	if err != nil {
		return nil, err
	}
	rows := []row{nodes, postgres,
		{Line: "memory of a node, idle", Unit: "MiB", Subject: idle},
		{Line: "memory of a node, after full load", Unit: "MiB", Subject: loaded, Note: "one figure a node, not a round"},
	}
	held, err := s.backlog(ctx, o, p)
	return append(rows, held...), err
}

// backlog has Postgres stand still while a large backlog comes, and then drain it.
func (s *stage) backlog(ctx context.Context, o *options, p *progress) ([]row, error) {
	n := o.scaled(5_000_000)
	if _, err := s.db.Exec(ctx, "TRUNCATE public.messages"); err != nil {
		return nil, err
	}
	most := make(series, 0)
	watching, stop := context.WithCancel(ctx)
	peaks := make(chan series, 1)
	go func() {
		for watching.Err() == nil {
			if now, err := s.memory(); err == nil {
				for i := range now {
					if i == len(most) {
						most = append(most, 0)
					}
					most[i] = max(most[i], now[i])
				}
			}
			select {
			case <-watching.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
		peaks <- most
	}()
	var full series
	rate, err := s.drainInto(ctx, drill.Stream, func() error {
		for sent := 0; sent < n; sent += o.messages {
			if _, err := s.publishAsync(ctx, "messages.bench", min(o.messages, n-sent), o.size); err != nil {
				return err
			}
		}
		var err error
		full, err = s.memory()
		return err
	})
	stop()
	peak := <-peaks
	if err != nil {
		return nil, fmt.Errorf("a backlog of %d: %w", n, err)
	}
	p.say("a backlog of %s drained at %s rows/s; memory at most %s MiB", number(float64(n)), number(rate), number(percentile(peak, 100)))
	what := number(float64(n))
	return []row{
		{Line: "memory of a node, a backlog of " + what, Unit: "MiB", Subject: full},
		{Line: "memory of a node, at most until it is drained", Unit: "MiB", Subject: peak, Note: fmt.Sprintf("drained at %s rows/s", number(rate))},
	}, nil
}

// memory is the nodes' resident memory in MiB.
func (s *stage) memory() (series, error) {
	var all series
	for _, a := range s.cluster.Addresses() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cluster.PID(a.Name)))
		if err != nil {
			return nil, err
		}
		pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, float64(pages*int64(os.Getpagesize()))/(1<<20))
	}
	return all, nil
}

// spent is CPU time, user and system.
type spent struct{ nodes, postgres time.Duration }

func (s *stage) cpu() (spent, error) {
	var t spent
	for _, a := range s.cluster.Addresses() {
		own, _, err := ticks(s.cluster.PID(a.Name))
		if err != nil {
			return t, err
		}
		t.nodes += own
	}
	// The server's processes: itself with those children that have ended, and
	// those that live.
	own, ended, err := ticks(s.pg.PID())
	if err != nil {
		return t, err
	}
	t.postgres = own + ended
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return t, err
	}
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || parent(pid) != s.pg.PID() {
			continue
		}
		if own, _, err := ticks(pid); err == nil { // else it has just ended
			t.postgres += own
		}
	}
	return t, nil
}

// ticks is a process's own CPU time, and that of its children that have ended.
func ticks(pid int) (own, ended time.Duration, err error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, 0, err
	}
	var t [4]int64 // utime, stime, cutime, cstime: see proc(5), fields 14 to 17
	for i := range t {
		if t[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return 0, 0, err
		}
	}
	return time.Duration(t[0]+t[1]) * clockTick, time.Duration(t[2]+t[3]) * clockTick, nil
}

func parent(pid int) int {
	fields, err := stat(pid)
	if err != nil {
		return 0
	}
	p, _ := strconv.Atoi(fields[1])
	return p
}

// stat are the fields behind the program's name, which may hold anything.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}
