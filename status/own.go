package status

import (
	"time"

	"landfall/message"
)

// renew brings this node's own report up to date.
func (v *Overview) renew(now time.Time) error {
	server, ok, err := v.o.Server()
	if err != nil {
		return err
	}
	r := &Report{
		Node: v.o.Node, Version: v.o.Version, Time: now.UTC(), Uptime: now.Sub(v.started).Seconds(),
		Elections: v.elections.Load(), Events: v.diary.tell(), Streams: []StreamReport{},
	}
	if err := v.o.Ready(); err != nil {
		r.Unready = oneLine(err.Error())
	}
	reached, since, known := v.o.Postgres()
	r.PostgresOK, r.PostgresFor, r.PostgresUnknown = reached, now.Sub(since).Seconds(), !known
	if ok {
		r.MetaLeader, r.Missing, r.Memory, r.Store, r.FsyncP99 = server.MetaLeader, server.Missing, server.Memory, server.Store, server.FsyncP99.Seconds()
		for _, m := range server.Replicas {
			r.Streams = append(r.Streams, v.streamReport(m, now))
		}
		v.server.Store(&server)
	} else {
		v.server.Store(nil)
	}
	v.renewed = now
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report = r
	return nil
}

func (v *Overview) streamReport(m message.Replica, now time.Time) StreamReport {
	t := StreamReport{
		Name: m.Stream, Held: m.Held, Leads: m.Leads, Stores: m.Stores, Leader: m.Leader,
		First: m.First, Last: m.Last, Messages: m.Messages, Bytes: m.Bytes,
	}
	if m.Messages > 0 && !m.FirstTime.IsZero() {
		t.Window = max(0, now.Sub(m.FirstTime).Seconds())
	}
	if s := v.sinks[m.Stream]; m.Stores && s != nil {
		t.Sink = s.sunk(now, m.Last)
	}
	return t
}

// Report is what the others are told.
func (v *Overview) Report() Report {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.report == nil {
		return Report{Node: v.o.Node, Version: v.o.Version, Time: time.Now().UTC(), PostgresUnknown: true, Unready: "starting"}
	}
	return *v.report
}
