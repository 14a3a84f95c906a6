package producer

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// longestWait is how long a request may wait for Postgres.
const longestWait = 30 * time.Second

// query is what the query parameters of a publish ask for.
type query struct {
	stored  bool          // wait until Postgres has it, too
	timeout time.Duration // for that; 0: not said
	first   uint64        // number of an NDJSON body's first line; 0: not said
}

// parseQuery refuses what has no meaning here: a parameter that is ignored
// would promise what is not done.
func parseQuery(raw string) (query, error) {
	var q query
	if raw == "" {
		return q, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("%w: %w", errBadQuery, err)
	}
	for name, vs := range values {
		if len(vs) != 1 {
			return q, fmt.Errorf("%w: %s is there %d times", errBadQuery, name, len(vs))
		}
		if err := q.set(name, vs[0]); err != nil {
			return q, err
		}
	}
	if q.timeout != 0 && !q.stored {
		return q, fmt.Errorf("%w: timeout is for ack=stored", errBadQuery)
	}
	return q, nil
}

func (q *query) set(name, v string) error {
	var err error
	switch name {
	case "ack":
		if v != "quorum" && v != "stored" {
			return fmt.Errorf("%w: ack is quorum or stored, not %q", errBadQuery, v)
		}
		q.stored = v == "stored"
	case "timeout":
		q.timeout, err = time.ParseDuration(v)
		if err != nil || q.timeout <= 0 || q.timeout > longestWait {
			return fmt.Errorf("%w: timeout is a duration such as 5s or 1500ms, at most %v, not %q", errBadQuery, longestWait, v)
		}
	case "first_line":
		q.first, err = strconv.ParseUint(v, 10, 53) // what JSON's numbers hold
		if err != nil || q.first == 0 {
			return fmt.Errorf("%w: first_line is the number of the body's first line, from 1 and below 2^53, not %q", errBadQuery, v)
		}
	default:
		return fmt.Errorf("%w: there is no %q", errBadQuery, name)
	}
	return nil
}
