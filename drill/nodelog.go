package drill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// logTail is how much of the end of a log is looked at.
const logTail = 256 << 10

// plainLines is how many lines are shown that are no log records: the head of
// a panic tells more than its end.
const plainLines = 10

// lastTrouble returns the last n warnings and errors of a node's log, each
// message once, and before them what is no log record at all (a panic, a Go
// runtime error). A log without any gives its last n lines as they are.
func lastTrouble(path string, n int) ([]string, error) {
	tail, err := readTail(path, logTail)
	if err != nil {
		return nil, fmt.Errorf("read the node's log: %w", err)
	}
	var all, plain, records []string
	place := make(map[string]int) // of a message in records
	for line := range bytes.Lines(tail) {
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			continue
		}
		all = append(all, text)
		var r struct{ Level, Msg string }
		switch err := json.Unmarshal(line, &r); {
		case err != nil:
			plain = append(plain, text)
		case r.Level == "ERROR" || r.Level == "WARN":
			if i, again := place[r.Msg]; again {
				records[i] = ""
			}
			place[r.Msg] = len(records)
			records = append(records, text)
		}
	}
	records = slices.DeleteFunc(records, func(s string) bool { return s == "" })
	if len(plain)+len(records) == 0 {
		return all[max(0, len(all)-n):], nil
	}
	return append(plain[:min(plainLines, len(plain))], records[max(0, len(records)-n):]...), nil
}

// readTail reads the last size bytes of a file, from the start of a line.
func readTail(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-size)
	tail, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return nil, err
	}
	if from > 0 {
		if _, rest, found := bytes.Cut(tail, []byte("\n")); found {
			tail = rest
		}
	}
	return tail, nil
}
