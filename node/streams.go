package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"landfall/cluster"
)

// IncarnationKey is where a stream's metadata holds its identity: a stream
// that was deleted and made again under its name has another one.
const IncarnationKey = "landfall.incarnation"

// createTimeout is longer than that of other calls: a create answers only
// when the new group has elected its leader.
const createTimeout = 2 * time.Second

// StreamError is a stream, or its consumer, that cannot be made what
// cluster.yaml says. Asking again does not help.
type StreamError struct {
	Stream string
	Err    error
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("stream %s cannot be what cluster.yaml says: %v", e.Stream, e.Err)
}

func (e *StreamError) Unwrap() error { return e.Err }

// limits are the parts of a stream's configuration that Landfall owns. All
// else, metadata in particular, stays as it is stored. Anything by which
// JetStream would remove messages on its own is off.
type limits struct {
	Subjects      []string      `json:"subjects"`
	MaxBytes      int64         `json:"max_bytes"`
	MaxMsgs       int64         `json:"max_msgs"`
	MaxPerSubject int64         `json:"max_msgs_per_subject"`
	MaxAge        time.Duration `json:"max_age"`
	Discard       string        `json:"discard"`
	Duplicates    time.Duration `json:"duplicate_window"`
	Replicas      int           `json:"num_replicas"`
	AllowDirect   bool          `json:"allow_direct"`
	DenyDelete    bool          `json:"deny_delete"`
	AllowRollup   bool          `json:"allow_rollup_hdrs"`
	AllowTTL      bool          `json:"allow_msg_ttl"`
}

// origin is what a stream is created with and can never be given later.
type origin struct {
	Name      string `json:"name"`
	Storage   string `json:"storage"`
	Retention string `json:"retention"`
}

func (n *Node) wanted(s cluster.Stream) (origin, limits) {
	return origin{Name: s.Name, Storage: "file", Retention: "limits"}, limits{
		Subjects: s.Subjects, MaxBytes: s.MaxBytes,
		MaxMsgs: -1, MaxPerSubject: -1, Discard: "new",
		Duplicates: s.DuplicateWindow, Replicas: n.cfg.Replicas(),
		AllowDirect: true, DenyDelete: true,
	}
}

// EnsureStreams makes every stream of cluster.yaml and its consumer exist as
// wanted. It looks before it creates, and may be called again at any time, by
// all nodes at once. While nobody leads it asks again until ctx ends; what can
// never be is a *StreamError.
func (n *Node) EnsureStreams(ctx context.Context) error {
	for _, s := range n.cfg.Streams {
		if err := n.EnsureStream(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// EnsureStream is EnsureStreams for one stream.
func (n *Node) EnsureStream(ctx context.Context, s cluster.Stream) error {
	return n.bringAbout(ctx, s, true)
}

// RestoreStreams makes again what somebody has deleted, and leaves what is
// there as it is: while the nodes are restarted one by one with a changed
// cluster.yaml, those with the old one must not undo the change.
func (n *Node) RestoreStreams(ctx context.Context) error {
	for _, s := range n.cfg.Streams {
		if err := n.bringAbout(ctx, s, false); err != nil {
			return err
		}
	}
	return nil
}

// bringAbout makes one stream and its consumer exist, and, if change is set,
// be as cluster.yaml says.
func (n *Node) bringAbout(ctx context.Context, s cluster.Stream, change bool) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	said := time.Now()
	for {
		err := n.ensureStream(ctx, s, change)
		if err == nil {
			err = n.ensureConsumer(ctx, s)
		}
		if err == nil {
			return nil
		}
		if impossible(err) {
			return &StreamError{Stream: s.Name, Err: err}
		}
		if time.Since(said) >= sayAgain {
			n.log.Warn("stream is not ready yet", "stream", s.Name, "error", err)
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stream %s: %w (%w)", s.Name, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// impossible tells errors that stay from those that pass with the next
// election.
func impossible(err error) bool {
	var mismatch *mismatchError
	if errors.As(err, &mismatch) {
		return true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamNameInUse, // lost the race to create it: look again
		jetstream.JSErrCodeConsumerExists,
		10005: // no suitable peers: they have not reported yet
		return false
	case 10052, 10069: // invalid configuration, update refused
		return true
	}
	return api.Code == 400
}

// mismatchError is something that exists and cannot be changed to what is
// wanted.
type mismatchError struct{ what string }

func (e *mismatchError) Error() string { return e.what }

func (n *Node) ensureStream(ctx context.Context, s cluster.Stream, change bool) error {
	base, want := n.wanted(s)
	stored, err := loadConfig(ctx, n.conn, s.Name)
	if isAPIError(err, jetstream.JSErrCodeStreamNotFound) {
		return n.createStream(ctx, base, want)
	}
	if err != nil {
		return err
	}
	if stored.origin != base {
		return &mismatchError{fmt.Sprintf("it exists with storage %q and retention %q, where %q and %q are needed; rename the stream in cluster.yaml, or remove it with \"app nats stream rm %s\" if nobody needs what it holds",
			stored.Storage, stored.Retention, base.Storage, base.Retention, s.Name)}
	}
	if !change {
		want = stored.limits
	}
	if reflect.DeepEqual(stored.limits, want) && stored.Metadata[IncarnationKey] != "" {
		return nil
	}
	metadata := maps.Clone(stored.Metadata)
	if metadata[IncarnationKey] == "" {
		if metadata == nil {
			metadata = map[string]string{}
		}
		metadata[IncarnationKey] = uuid.NewString()
	}
	if err := stored.update(ctx, n.conn, want, metadata); err != nil {
		return err
	}
	n.log.Info("stream changed to what cluster.yaml says", "stream", s.Name)
	return nil
}

func (n *Node) createStream(ctx context.Context, base origin, want limits) error {
	config := struct {
		origin
		limits
		Metadata map[string]string `json:"metadata"`
	}{base, want, map[string]string{IncarnationKey: uuid.NewString()}}
	err := callWithin(ctx, n.conn, createTimeout, "STREAM.CREATE."+base.Name, config, nil)
	if err != nil {
		return err
	}
	n.log.Info("stream created", "stream", base.Name, "incarnation", config.Metadata[IncarnationKey])
	return nil
}
