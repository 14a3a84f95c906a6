package drill

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
)

// ballot is what a node's disk says of the last election of the cluster's own
// group that it took part in.
type ballot struct {
	term uint64
	vote string // the name, hashed, of the node that it voted for
}

// metaLeader is the node that was elected last to lead the cluster's own Raft
// group, or "". No call open to a client tells it, but every node keeps the
// term and its vote of that group in a file (nats-server, server/raft.go,
// writeTermVote): whom a majority voted for in the newest term leads. When one
// of two votes is out of date, the newest alone has to do.
func (s *Site) metaLeader() string {
	var newest uint64
	var votes []string
	for _, node := range s.nodeNames() {
		b, err := readBallot(s.Cluster.DataPath(node))
		switch {
		case err != nil || b.vote == "" || b.term < newest:
			continue
		case b.term > newest:
			newest, votes = b.term, nil
		}
		votes = append(votes, b.vote)
	}
	best, most := "", 0
	for _, node := range s.nodeNames() {
		count := 0
		for _, v := range votes {
			if v == raftName(node) {
				count++
			}
		}
		if count > most {
			best, most = node, count
		}
	}
	return best
}

// readBallot reads it from the directory of a node's files.
func readBallot(data string) (ballot, error) {
	found, err := filepath.Glob(filepath.Join(data, "jetstream", "*", "_js_", "_meta_", "tav.idx"))
	if err != nil {
		return ballot{}, err
	}
	if len(found) != 1 {
		return ballot{}, errors.New("no ballot")
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return ballot{}, err
	}
	if len(text) < 8 {
		return ballot{}, errors.New("half a ballot")
	}
	return ballot{binary.LittleEndian.Uint64(text), string(text[8:])}, nil
}

// raftName is what a node is called in its Raft groups (nats-server,
// server/events.go, getHash).
func raftName(node string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(node))
	name := make([]byte, 8)
	for i := range name {
		name[i] = digits[int(sum[i])%len(digits)]
	}
	return string(name)
}
