package pgproxy

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// textLimit is how much of a message is looked at. Names, and the beginnings
// of statements, are shorter; the data that may follow is nobody's business.
const textLimit = 4 << 10

// statementsLimit bounds what is remembered of one transaction, and of one
// connection's prepared statements.
const statementsLimit = 4096

// The messages that matter, as the protocol names them. Both sides use some
// letters, with different meanings.
const (
	asksQuery, asksParse, asksBind, asksExecute, asksSync, asksCall, sendsData = 'Q', 'P', 'B', 'E', 'S', 'F', 'd' // the program

	saysComplete, saysEmpty, saysSuspended, saysReady = 'C', 'I', 's', 'Z' // Postgres
)

// statement is one execution of a statement.
type statement struct {
	sql    string
	before []string // what was executed before it since the last BEGIN
}

// had tells whether a statement that was executed before is one of those.
func (s statement) had(which func(string) bool) bool { return slices.ContainsFunc(s.before, which) }

// asked is something that Postgres has to answer.
type asked struct {
	statement
	kind byte // asksQuery, asksExecute or asksSync
}

// talk follows what is said on one connection: which statement a program
// executes, and which one an answer is the answer to. The program may be far
// ahead of the answers.
type talk struct {
	mu          sync.Mutex
	prepared    map[string]string // statements by name
	portals     map[string]string // what they are bound to
	now         statement         // the one executed last
	transaction []string          // what was executed since the last BEGIN; only appended to, so that parts of it can be lent
	waiting     []asked
}

func newTalk() *talk {
	return &talk{prepared: make(map[string]string), portals: make(map[string]string)}
}

// matters tells whether asks wants to see a message of the program's.
func matters(kind byte) bool {
	switch kind {
	case asksQuery, asksParse, asksBind, asksExecute, asksSync, asksCall, sendsData:
		return true
	}
	return false
}

// answers tells whether told wants to see a message of Postgres'.
func answers(kind byte) bool {
	switch kind {
	case saysComplete, saysEmpty, saysSuspended, saysReady:
		return true
	}
	return false
}

// asks takes note of a message of the program's, of which it is given the
// beginning. executes tells whether a statement is executed by it.
func (t *talk) asks(kind byte, body []byte) (s statement, executes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch kind {
	case asksParse:
		name, rest := text(body)
		sql, _ := text(rest)
		remember(t.prepared, name, sql)
	case asksBind:
		portal, rest := text(body)
		name, _ := text(rest)
		remember(t.portals, portal, t.prepared[name])
	case asksExecute:
		portal, _ := text(body)
		return t.executes(kind, t.portals[portal]), true
	case asksQuery:
		sql, _ := text(body)
		return t.executes(kind, sql), true
	case asksCall:
		t.waiting = append(t.waiting, asked{kind: asksQuery})
	case asksSync:
		t.waiting = append(t.waiting, asked{kind: asksSync})
	}
	return statement{}, false
}

func (t *talk) executes(kind byte, sql string) statement {
	if len(sql) >= 5 && strings.EqualFold(sql[:5], "begin") {
		t.transaction = nil
	}
	t.now = statement{sql, t.transaction}
	if len(t.transaction) < statementsLimit {
		t.transaction = append(t.transaction, sql)
	}
	t.waiting = append(t.waiting, asked{t.now, kind})
	return t.now
}

// remember keeps a name's text, unless there are too many names.
func remember(texts map[string]string, name, sql string) {
	if _, known := texts[name]; known || len(texts) < statementsLimit {
		texts[name] = sql
	}
}

// flows is the statement that the program now sends data for.
func (t *talk) flows() statement {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// told takes note of an answer. done tells whether a statement has been
// carried out with it.
func (t *talk) told(kind byte) (s statement, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if kind == saysReady {
		// What was asked before the sync and has no answer was not carried
		// out, because something before it failed.
		for i, a := range t.waiting {
			if a.kind != asksExecute {
				t.waiting = t.waiting[i+1:]
				break
			}
		}
		return statement{}, false
	}
	if len(t.waiting) == 0 {
		return statement{}, false // nobody asked
	}
	first := t.waiting[0]
	switch first.kind {
	case asksExecute:
		t.waiting = t.waiting[1:]
	case asksQuery:
		// Further statements of the same text may be answered.
		t.waiting[0].sql = ""
	default:
		return statement{}, false
	}
	return first.statement, kind == saysComplete && first.sql != ""
}

// text is the zero-ended text at the beginning of a message, and what follows.
// One that is longer than what is looked at is as much as there is.
func text(b []byte) (string, []byte) {
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return string(b), nil
	}
	return string(b[:end]), b[end+1:]
}
