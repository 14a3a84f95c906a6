package drill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// logTail is how much of the end of a log is looked at.
const logTail = 256 << 10

// lastTrouble returns the last n lines of a node's log that are warnings or
// errors, or are no log records at all (a panic, a Go runtime error). Without
// any it returns the last n lines as they are.
func lastTrouble(path string, n int) ([]string, error) {
	tail, err := readTail(path, logTail)
	if err != nil {
		return nil, fmt.Errorf("read the node's log: %w", err)
	}
	var all, trouble []string
	for line := range bytes.Lines(tail) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		all = append(all, string(line))
		var record struct {
			Level string `json:"level"`
		}
		if json.Unmarshal(line, &record) != nil || record.Level == "ERROR" || record.Level == "WARN" {
			trouble = append(trouble, string(line))
		}
	}
	if len(trouble) == 0 {
		trouble = all
	}
	return trouble[max(0, len(trouble)-n):], nil
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
