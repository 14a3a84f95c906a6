package cluster

import (
	"fmt"
	"strings"
	"time"
)

// key is one key of cluster.yaml: what the decoder knows it by, and what an
// editor shows of it.
type key struct {
	name     string
	required bool
	title    string
	about    string
	value    schema // what may stand there
}

func names(keys []key) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = k.name
	}
	return list
}

// rootKeys are the keys at the top level of cluster.yaml.
func rootKeys() []string     { return names(rootTable()) }
func nodeKeys() []string     { return names(nodeTable()) }
func streamKeys() []string   { return names(streamTable()) }
func postgresKeys() []string { return names(postgresTable()) }
func authKeys() []string     { return names(authTable()) }

func rootTable() []key {
	return []key{
		{name: "cluster", required: true, title: "Name of the cluster",
			about: "Names the NATS cluster, and in Postgres the rows that are this cluster's.",
			value: textLike(plainName.String(), plainNameRule).example("landfall")},
		{name: "nodes", required: true, title: "The peers",
			about: "One (a laptop; no second copy), or an odd number from three. A node's files are in a directory of its name.",
			value: named(plainName.String(), 64, section("A node", "One peer: app --node NAME runs it.", nodeTable()))},
		{name: "data", title: "Directory of the nodes' files",
			about: "Each node keeps its files under DATA/NAME, such as ./data/n1.",
			value: anyText().or(defaultData).example("/var/lib/landfall")},
		{name: "sync", title: "When messages are fsynced",
			about: "fsync before acknowledging. Nothing else is possible: it is the promise.",
			value: oneOf(defaultSync).or(defaultSync)},
		{name: "election_timeout", title: "How soon a stream elects another leader",
			about: fmt.Sprintf("After about this long without its leader a stream elects another. Shorter recovers faster, but a disk with slow fsyncs needs more. From %s to %s; 0: NATS' own 4 to 9 s.",
				shortDuration(minElectionTimeout), shortDuration(maxElectionTimeout)),
			value: zeroOr(durationLike(true)).or(shortDuration(defaultElectionTimeout)).example("2s", 0)},
		{name: "streams", required: true, title: "The streams",
			about: "A stream is a log, in order and on three nodes, and is stored in Postgres.",
			value: named(`^[^\s$_.*>/\\][^\s.*>/\\]*$`, longestStream, section("A stream", "A log of messages, and what Postgres keeps of it.", streamTable()))},
		{name: "postgres", title: "Where the messages go",
			about: "The database, and who makes the tables in it.",
			value: section("", "", postgresTable())},
		{name: "messages_table", title: "The table of the messages",
			about: "SCHEMA.TABLE, or TABLE in the schema public. It is made at start; a table that is not Landfall's is refused.",
			value: textLike(`^`+bare(identifier.String())+`(\.`+bare(identifier.String())+`)?$`,
				"must be SCHEMA.TABLE or TABLE, in lower case letters, digits and _").or(defaultMessagesTable).example("landing.inbox")},
		{name: "keep", title: "How long rows of the messages table stay",
			about: fmt.Sprintf("Rows that were stored longer ago are deleted, and their ids forgotten, but not before their message has left the stream. At least %s, and not shorter than any replay_window. forever: they stay. It says nothing of tables of your own: they are yours to clear.", shortDuration(minKeep)),
			value: foreverOr(durationLike(false)).or(forever).example("720h")},
		{name: "auth", title: "Who may publish and read",
			about: "Without it no node binds anything but loopback, unless allow_insecure says so.",
			value: section("", "", authTable())},
		{name: "allow_insecure", title: "Go without a token",
			about: "Bind beyond loopback without a token: anybody may publish and read.",
			value: trueOrFalse().or(false)},
	}
}

func nodeTable() []key {
	const form = "must be HOST:PORT, an IPv6 host in brackets"
	address := textLike(`^(\[[0-9A-Za-z:._-]+\]|[0-9A-Za-z._-]+):[0-9]+$`, form)
	return []key{
		{name: "client", required: true, title: "Address for NATS clients",
			about: "NATS clients publish here, in any language. HOST:PORT as others use it; it is bound as well.",
			value: address.example("127.0.0.1:4231", "n1.example:4222")},
		{name: "route", required: true, title: "Address for the other nodes",
			about: "The nodes talk with each other here. HOST:PORT as others use it; it is bound as well.",
			value: address.example("127.0.0.1:6231", "n1.example:6222")},
		{name: "http", required: true, title: "Address for HTTP",
			about: "POST /v1/publish/SUBJECT, /healthz, /readyz, and where there is no admin the status page at /. HOST:PORT as others use it; it is bound as well.",
			value: address.example("127.0.0.1:8231", "n1.example:8080")},
		{name: "admin", title: "Address for operators",
			about: "Status page, /metrics, /v1/status and dead letters are here, and no longer at http. HOST:PORT as others use it; it is bound as well.",
			value: address.example("127.0.0.1:8331", "n1.example:8081")},
		{name: "listen", title: "Host to bind",
			about: "Bound instead of the hosts of the addresses, without a port: in a container 0.0.0.0, every interface (needs auth).",
			value: textLike(`^[0-9A-Za-z:._-]+$`, "must be a host to bind, without a port").example("0.0.0.0", "::")},
	}
}

func streamTable() []key {
	return []key{
		{name: "subjects", required: true, title: "What the stream takes",
			about: "Subjects, such as messages, and all below one, as messages.>. * is one word, > the rest; quote both. No two subjects may overlap.",
			value: listOf(textLike(`^[^\s.*>$][^\s.*>]*(\.(\*|[^\s.*>]+))*(\.>)?$`,
				"must be words between dots, of which * and > stand alone, > at the end")).example([]string{"messages", "messages.>"})},
		{name: "max_bytes", title: "Room on each node's disk",
			about: fmt.Sprintf("Full of messages that Postgres does not have, the stream refuses new ones; it never drops any. From %s to %s.",
				shortSize(minMaxBytes), shortSize(maxMaxBytes)),
			value: bytesOr(sizeLike()).or(shortSize(defaultMaxBytes)).example("512MiB")},
		{name: "replay_window", title: "How long messages stay after Postgres has them",
			about: fmt.Sprintf("As far as max_bytes allows: a Postgres restored from a backup younger than this is refilled. At least %s.",
				shortDuration(minReplayWindow)),
			value: durationLike(false).or(shortDuration(defaultReplayWindow)).example("24h")},
		{name: "duplicate_window", title: "How long NATS itself remembers ids",
			about: fmt.Sprintf("Beyond it Postgres does. At least %s, and not longer than replay_window.", shortDuration(minDuplicateWindow)),
			value: durationLike(false).or(shortDuration(defaultDuplicateWindow)).example("2m")},
		{name: "table", title: "A table of your own",
			about: "SCHEMA.TABLE, or TABLE in the schema public, filled instead of the messages table. Landfall never creates or alters it.",
			value: textLike(ownTable.String(), ownTableRule).example("shop.orders")},
		{name: "mode", title: "What a message does to a row of its key",
			about: "append (also where nothing is said): there is no key, every message is a row. upsert: the row is overwritten. keep_first: it stays as it is.",
			value: oneOf(modes()...)},
		{name: "key", title: "The key under upsert and keep_first",
			about: "Columns that a unique index of the table is on.",
			value: listOf(schema{Type: "string", MinLength: 1}).example([]string{"id"})},
		{name: "columns", title: "Where columns come from",
			about: "Any other column is the JSON field of its name. $.a.b, $ (the whole document), subject[2], message.seq, message.id, message.published_at, header[\"Name\"]. none: no message writes it.",
			value: schema{Type: "object", AdditionalProperties: &schema{Type: "string", MinLength: 1}}.example(map[string]string{"customer": "$.customer.id"})},
	}
}

func postgresTable() []key {
	database := textLike(`^postgres(ql)?://|=`, connectionForms)
	return []key{
		{name: "url", title: "The database",
			about: "A URL, or host=... dbname=... as for psql.",
			value: database.or(defaultPostgresURL).example("host=127.0.0.1 port=5432 dbname=app user=app")},
		{name: "migrate", title: "Make the tables at start",
			about: "Create and update Landfall's tables at start. off: run app migrate up yourself.",
			value: oneOf("on", "off").or("on")},
		{name: "migrate_url", title: "Where to make the tables",
			about: "If url goes through a pooler such as PgBouncer, or the tables belong to another role.",
			value: database.example("postgres://owner@127.0.0.1:5432/app")},
	}
}

func authTable() []key {
	return []key{
		{name: "token", required: true, title: "The token",
			about: fmt.Sprintf("One for NATS clients, routes and HTTP (Authorization: Bearer ...). At least %d printable ASCII characters. Better a variable than the token itself.", minToken),
			value: textLike(fmt.Sprintf(`^[!-~]{%d,}$`, minToken), fmt.Sprintf("must have at least %d printable ASCII characters and no spaces", minToken)).example("${LANDFALL_TOKEN}")},
	}
}

// bare is a pattern without what ties it to both ends.
func bare(pattern string) string {
	return strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$")
}

// shortDuration writes a whole duration as one does by hand: 72h, not 72h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// shortSize writes a size in the largest unit that divides it.
func shortSize(n int64) string {
	best := unit{"B", 1}
	for _, u := range sizeUnits() {
		if n%u.bytes == 0 && u.bytes > best.bytes {
			best = u
		}
	}
	return fmt.Sprintf("%d%s", n/best.bytes, best.name)
}
