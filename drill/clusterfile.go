package drill

import (
	"fmt"
	"strings"
	"time"
)

// Stream is the stream of every cluster that a drill runs.
const Stream = "MESSAGES"

// defaultMaxBytes is what a laptop has free.
const defaultMaxBytes = "1GiB"

// File says what goes into the cluster.yaml of a drill.
type File struct {
	Nodes           []Addresses
	Data            string         // directory
	DatabaseURL     string         // "": from each node's environment, as DATABASE_URL
	MaxBytes        string         // of the stream; "": 1GiB, so that a laptop's disk will do
	ElectionTimeout *time.Duration // nil: Landfall's default; 0: the stock timers
	StreamKeys      string         // more keys of the stream, a YAML flow such as "replay_window: 1s, table: x"
	Streams         []string       // more streams, each a line such as "ORDERS: { subjects: [orders], table: orders }"
	Keys            string         // more lines at the top level
	Token           string         // auth.token; "": none
}

// Addresses are where one node listens, each host:port.
type Addresses struct {
	Name, Client, Route, HTTP string
	Listen                    string // the host to bind instead; "": the addresses' own
}

// Render writes the file. Strings are quoted as Go quotes them, which for
// what can occur here is what YAML reads.
func (f File) Render() string {
	maxBytes := f.MaxBytes
	if maxBytes == "" {
		maxBytes = defaultMaxBytes
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cluster: drill\nnodes:\n")
	for _, n := range f.Nodes {
		fmt.Fprintf(&b, "  %s: { client: %q, route: %q, http: %q", n.Name, n.Client, n.Route, n.HTTP)
		if n.Listen != "" {
			fmt.Fprintf(&b, ", listen: %q", n.Listen)
		}
		b.WriteString(" }\n")
	}
	fmt.Fprintf(&b, "data: %q\n", f.Data)
	if f.ElectionTimeout != nil {
		fmt.Fprintf(&b, "election_timeout: %s\n", plainDuration(*f.ElectionTimeout))
	}
	fmt.Fprintf(&b, "streams:\n  %s: { subjects: [messages, \"messages.>\"], max_bytes: %s", Stream, maxBytes)
	if f.StreamKeys != "" {
		fmt.Fprintf(&b, ", %s", f.StreamKeys)
	}
	url := literal(f.DatabaseURL)
	if url == "" {
		url = "${DATABASE_URL}"
	}
	b.WriteString(" }\n")
	for _, line := range f.Streams {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	fmt.Fprintf(&b, "postgres: { url: %q }\n", url)
	if f.Token != "" {
		fmt.Fprintf(&b, "auth: { token: %q }\n", literal(f.Token))
	}
	if f.Keys != "" {
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(f.Keys, "\n"))
	}
	return b.String()
}

// plainDuration writes zero as 0, the way the file's own comments do.
func plainDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return d.String()
}

// literal keeps what looks like a variable from being expanded.
func literal(s string) string { return strings.ReplaceAll(s, "$", "$$") }
