package cluster

import (
	"strings"
	"time"
)

// The defaults of the optional keys.
const (
	defaultData            = "./data"
	defaultSync            = "always"
	defaultElectionTimeout = time.Second
	defaultMaxBytes        = 4 << 30
	defaultReplayWindow    = 72 * time.Hour
	defaultDuplicateWindow = 30 * time.Second
	defaultMessagesTable   = "public.messages"
	defaultPostgresURL     = "${DATABASE_URL:-postgres://app:app@127.0.0.1:55432/app}"
)

// decode reads the whole document. Each part notes its own problems and goes
// on; what compares parts with each other comes last.
func (d *document) decode(root field) *Config {
	m, ok := root.mapping(rootKeys()...)
	if !ok {
		return nil
	}
	c := &Config{
		Data:            defaultData,
		Sync:            defaultSync,
		ElectionTimeout: defaultElectionTimeout,
		MessagesTable:   defaultMessagesTable,
	}
	if f, ok := m.required("cluster", "cluster: landfall"); ok {
		c.Name = f.name()
	}
	if f, ok := m.values["data"]; ok {
		c.Data = f.path()
	}
	if f, ok := m.values["sync"]; ok {
		f.sync()
	}
	if f, ok := m.values["election_timeout"]; ok {
		c.ElectionTimeout = f.electionTimeout()
	}
	if f, ok := m.values["messages_table"]; ok {
		c.MessagesTable = f.table()
	}
	if f, ok := m.values["keep"]; ok {
		c.Keep = f.keep()
	}
	c.Postgres = d.decodePostgres(m)
	if f, ok := m.values["auth"]; ok {
		c.Token = f.auth()
	}
	if f, ok := m.values["allow_insecure"]; ok {
		c.AllowInsecure = f.flag()
	}
	if f, ok := m.required("streams", "streams: { MESSAGES: { subjects: [messages, \"messages.>\"] } }"); ok {
		c.Streams = f.streams()
	}
	if f, ok := m.required("nodes", "nodes: { n1: { client: 127.0.0.1:4231, route: 127.0.0.1:6231, http: 127.0.0.1:8231 } }"); ok {
		_, guarded := m.keys["auth"]
		c.Nodes = f.nodes(guarded || c.AllowInsecure)
	}
	if f, ok := m.values["keep"]; ok {
		f.outlasts(c.Keep, c.Streams)
	}
	return c
}

// sync accepts the one way that keeps the promise.
func (f field) sync() {
	if t, ok := f.text(); ok && t.value != defaultSync {
		f.problem("%s is refused, only always is possible: an acknowledgement promises that a majority of the nodes"+
			" has the message fsynced, and anything else loses acknowledged messages in a power cut", t.shown)
	}
}

func (d *document) decodePostgres(root mappingField) Postgres {
	p := Postgres{Migrate: true}
	f, ok := root.values["postgres"]
	if !ok {
		p.URL = d.defaultURL()
		return p
	}
	m, ok := f.mapping(postgresKeys()...)
	if !ok {
		return p
	}
	if f, ok := m.values["url"]; ok {
		p.URL = f.databaseURL()
	} else {
		p.URL = d.defaultURL()
	}
	if f, ok := m.values["migrate"]; ok {
		p.Migrate = f.onOff()
	}
	if f, ok := m.values["migrate_url"]; ok {
		p.MigrateURL = f.databaseURL()
	}
	return p
}

// defaultURL follows DATABASE_URL, as the url of the annotated file does.
func (d *document) defaultURL() string {
	url, err := expand(defaultPostgresURL, d.env)
	if err == nil {
		_, err = parseDatabase(url)
	}
	if err != nil {
		d.problems = append(d.problems, Problem{File: d.file, Line: 1, Column: 1, Key: "postgres.url",
			Message: "not given, and so the variable DATABASE_URL is used: it " + err.Error()})
	}
	return url
}

func (f field) databaseURL() string {
	t, ok := f.text()
	if !ok {
		return ""
	}
	if _, err := parseDatabase(t.value); err != nil {
		f.problem("%v", err)
	}
	return t.value
}

func (f field) onOff() bool {
	if t, ok := f.text(); ok && t.value != "on" && t.value != "off" {
		f.problem("%s must be on or off", t.shown)
	} else if ok {
		return t.value == "on"
	}
	return false
}

const minToken = 8

// auth reads the section that holds the token. The value never gets into a
// message.
func (f field) auth() string {
	m, ok := f.mapping(authKeys()...)
	if !ok {
		return ""
	}
	f, ok = m.required("token", "token: \"${LANDFALL_TOKEN}\"")
	if !ok {
		return ""
	}
	t, ok := f.text()
	if !ok {
		return ""
	}
	switch {
	case len(t.value) < minToken:
		f.problem("must have at least %d characters, has %d", minToken, len(t.value))
	case strings.ContainsFunc(t.value, func(r rune) bool { return r <= ' ' || r > '~' }):
		f.problem("may hold only printable ASCII characters and no spaces, since it travels in HTTP headers")
	case strings.HasPrefix(t.value, "$2"):
		// nats-server takes such a token for a bcrypt hash of the real one.
		f.problem("may not begin with $2: NATS would take it for the hash of a token")
	}
	return t.value
}

func (f field) streams() []Stream {
	m, ok := f.mapping()
	if !ok {
		return nil
	}
	if len(m.keys) == 0 {
		f.problem("needs at least one stream")
	}
	var streams []Stream
	var taken []subject
	for _, name := range m.names {
		s := m.values[name]
		if problem := streamName(name); problem != "" {
			f.doc.problem(m.keys[name], s.key, "%s", problem)
		}
		stream, subjects := s.stream(name)
		streams = append(streams, stream)
		taken = append(taken, subjects...)
	}
	checkOverlaps(taken)
	return streams
}

func (f field) stream(name string) (Stream, []subject) {
	s := Stream{
		Name:            name,
		MaxBytes:        defaultMaxBytes,
		ReplayWindow:    defaultReplayWindow,
		DuplicateWindow: defaultDuplicateWindow,
	}
	m, ok := f.mapping(streamKeys()...)
	if !ok {
		return s, nil
	}
	if f, ok := m.values["max_bytes"]; ok {
		s.MaxBytes = f.maxBytes()
	}
	if f, ok := m.values["replay_window"]; ok {
		s.ReplayWindow = f.duration(minReplayWindow, maxDuration)
		s.DuplicateWindow = min(s.DuplicateWindow, s.ReplayWindow)
	}
	if f, ok := m.values["duplicate_window"]; ok {
		s.DuplicateWindow = f.duration(minDuplicateWindow, maxDuration)
		if s.DuplicateWindow > s.ReplayWindow && s.ReplayWindow > 0 {
			f.problem("is longer than the replay_window of %s: JetStream knows a repeat only as long as the message is there", s.ReplayWindow)
		}
	}
	s.Table = m.table()
	var taken []subject
	if f, ok := m.required("subjects", "subjects: [messages, \"messages.>\"]"); ok {
		taken = f.subjects()
	}
	for _, t := range taken {
		s.Subjects = append(s.Subjects, t.text)
	}
	return s, taken
}
