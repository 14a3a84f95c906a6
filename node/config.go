package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go"
)

// storedConfig is a stream's configuration as the server keeps it. An update
// replaces all of it, so what we do not know of is written back as it was.
type storedConfig struct {
	origin
	limits
	Metadata map[string]string `json:"metadata"`

	all map[string]json.RawMessage
}

func loadConfig(ctx context.Context, nc *nats.Conn, stream string) (*storedConfig, error) {
	var answer struct {
		Config json.RawMessage `json:"config"`
	}
	if err := call(ctx, nc, "STREAM.INFO."+stream, nil, &answer); err != nil {
		return nil, err
	}
	c := &storedConfig{}
	if err := json.Unmarshal(answer.Config, c); err != nil {
		return nil, fmt.Errorf("stored configuration of stream %s: %w", stream, err)
	}
	if err := json.Unmarshal(answer.Config, &c.all); err != nil {
		return nil, fmt.Errorf("stored configuration of stream %s: %w", stream, err)
	}
	return c, nil
}

// update writes the configuration back with other limits and metadata.
func (c *storedConfig) update(ctx context.Context, nc *nats.Conn, want limits, metadata map[string]string) error {
	text, err := json.Marshal(struct {
		limits
		Metadata map[string]string `json:"metadata"`
	}{want, metadata})
	if err != nil {
		return fmt.Errorf("configuration of stream %s: %w", c.Name, err)
	}
	changed := maps.Clone(c.all)
	if err := json.Unmarshal(text, &changed); err != nil {
		return fmt.Errorf("configuration of stream %s: %w", c.Name, err)
	}
	return callWithin(ctx, nc, createTimeout, "STREAM.UPDATE."+c.Name, changed, nil)
}
