package drill

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Beside MESSAGES a drill has a stream of changes, which fill a table of the
// drill's own under mode upsert: a key's row is its newest change.
const (
	ChangesStream = "CHANGES"

	changesTable = "drill.changes"
	changesBytes = "1GiB"
)

// changesSchema makes the table. Landfall only fills it. doc is json, which
// keeps the document as it came; entered has no field and so its DEFAULT.
const changesSchema = `CREATE SCHEMA drill;
	CREATE TABLE ` + changesTable + ` (
		id text PRIMARY KEY,
		version bigint NOT NULL CHECK (version > 0),
		doc json NOT NULL,
		msg_id text NOT NULL,
		seq bigint NOT NULL,
		published timestamptz NOT NULL,
		entered timestamptz NOT NULL DEFAULT clock_timestamp())`

// changesLine is the stream as cluster.yaml has it. Its windows are those of
// MESSAGES, so that faults which wait one out have waited out both.
func changesLine() string {
	return fmt.Sprintf(`%s: { subjects: ["changes.>"], max_bytes: %s, replay_window: %s, duplicate_window: %s, table: %s, mode: upsert, key: [id], `+
		`columns: { doc: $, msg_id: message.id, seq: message.seq, published: message.published_at } }`,
		ChangesStream, changesBytes, soakReplayWindow, soakDuplicateWindow, changesTable)
}

// change makes a change of a key. A key belongs to one publisher, who sends
// its changes one after the other, with growing versions from 1.
func change(key string, version int) Message {
	return Message{
		ID: key + "." + strconv.Itoa(version), Subject: "changes." + key,
		Body: fmt.Appendf(nil, `{"id":%q, "version":%d, "note":%q}`, key, version, strings.Repeat("landfall ", version%20)),
	}
}

// unreadable is a change that no column of that type can take, whatever else
// becomes of its key.
func unreadable(key string, version int) Message {
	m := change(key, version)
	m.Bad, m.Body = true, fmt.Appendf(nil, `{"id":%q, "version":"v%d"}`, key, version)
	return m
}

// forbidden is a change that only the table's CHECK refuses. Were there a good
// one of its key behind it in the same batch, nobody would look at it: so its
// key has no good ones.
func forbidden(key string, version int) Message {
	m := change(key, version)
	m.Bad, m.Body = true, fmt.Appendf(nil, `{"id":%q, "version":-%d}`, key, version)
	return m
}

// changeOf is the key and the version of a change, from its id.
func changeOf(id string) (key string, version int, ok bool) {
	at := strings.LastIndexByte(id, '.')
	if at < 0 {
		return "", 0, false
	}
	version, err := strconv.Atoi(id[at+1:])
	return id[:at], version, err == nil
}

// The keys that a publisher of changes has: a few that change all the time, so
// that a batch has several changes of one; and every so many changes a new one,
// which has a second one at once, and then none. What is lost of the former the
// next change covers, of the latter it shows for ever.
const (
	changeKeys     = 6
	changeNewEvery = 5

	changeBadEvery       = 61
	changeForbiddenEvery = 83
)

// changer sends changes, one after the other.
type changer struct {
	door  Door
	book  *Book
	gate  *Gate
	name  string        // begins its keys
	every time.Duration // one change

	versions [changeKeys]int
	refused  int // changes that the table's CHECK refuses
	number   int // of changes
}

// run sends until stop; what is under way then is settled.
func (c *changer) run(ctx context.Context, stop <-chan struct{}) error {
	defer c.book.Close() //nolint:errcheck // the ledger keeps it
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stop:
			return nil
		case <-tick.C:
		}
		leave, err := c.gate.Pass(ctx)
		if err != nil {
			return err
		}
		m := c.next()
		ref := c.book.Offer(m, time.Now())
		c.book.Tell(ref, Deliver(ctx, c.door, m, soakPatience))
		leave()
	}
}

// next makes the next change.
func (c *changer) next() Message {
	c.number++
	switch n := c.number; {
	case n%changeForbiddenEvery == 0:
		c.refused++
		return forbidden(c.name+"-forbidden", c.refused)
	case n%changeNewEvery == 0:
		return change(fmt.Sprintf("%s-new%d", c.name, n/changeNewEvery), 1)
	case n > changeNewEvery && n%changeNewEvery == 1:
		return change(fmt.Sprintf("%s-new%d", c.name, n/changeNewEvery), 2)
	default:
		k := n % changeKeys
		c.versions[k]++
		key := fmt.Sprintf("%s-%d", c.name, k)
		if n%changeBadEvery == 0 {
			return unreadable(key, c.versions[k])
		}
		return change(key, c.versions[k])
	}
}

// probeChange is a change of a key that has no other.
func probeChange() Message { return change("probe-"+rand.Text(), 1) }
