package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/node"
)

func addDeadLettersAccept(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("accept", "It is the data: let a stream that is paused go on")
	cmd.HelpLong(`When many messages in a row fail alike, Landfall takes it for the set-up, pauses the stream and gives none of them up. If
it is the data all the same, this says so: messages up to a sequence that cannot be stored become dead letters, however
many fail alike. Those behind it are treated as before. The stream goes on within seconds.

Examples:

	app dead-letters accept ORDERS
	app dead-letters accept ORDERS --through 1200`)
	stream := cmd.Arg("stream", "The stream").Required().String()
	var set bool
	through := cmd.Flag("through", "Up to this sequence; without it up to the last one that the stream has now").PlaceHolder("SEQ").IsSetByUser(&set).Uint64()
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		return env.withLetters(*config, func(l *letters) error {
			if err := knownStream(l.cfg, *stream); err != nil {
				return err
			}
			if set && (*through == 0 || *through > math.MaxInt64) {
				return misuse(fmt.Errorf("--through %d is no sequence of a stream", *through), "")
			}
			accepted, err := l.accept(ctx, *stream, *through)
			switch {
			case err != nil:
				return err
			case *asJSON:
				return env.printJSON(accepted)
			}
			_, err = fmt.Fprintf(env.stdout, "%s: what cannot be stored becomes a dead letter, up to sequence %d\n", accepted.Stream, accepted.Through)
			return err
		})
	})
}

// acceptedBad is what was said of a stream.
type acceptedBad struct {
	Stream  string `json:"stream"`
	Through uint64 `json:"through"`
}

// accept says it; through 0 is the last sequence that the stream has now.
func (l *letters) accept(ctx context.Context, stream string, through uint64) (acceptedBad, error) {
	incarnation := ""
	if through == 0 {
		var err error
		if through, incarnation, err = l.streamEnd(ctx, stream); err != nil {
			return acceptedBad{}, err
		}
	}
	if err := l.store.Accept(ctx, stream, incarnation, through); err != nil {
		return acceptedBad{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	return acceptedBad{stream, through}, nil
}

// streamEnd asks the cluster for a stream's last sequence, and its incarnation.
func (l *letters) streamEnd(ctx context.Context, stream string) (last uint64, incarnation string, err error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	js, err := l.jetStream()
	if err != nil {
		return 0, "", err
	}
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, "", fmt.Errorf("read the state of stream %s: %w", stream, err)
	}
	info := s.CachedInfo()
	if info.State.LastSeq == 0 {
		return 0, "", misuse(errors.New("the stream has no message yet"), "")
	}
	return info.State.LastSeq, info.Config.Metadata[node.IncarnationKey], nil
}

// knownStream refuses a stream that cluster.yaml does not name.
func knownStream(cfg *cluster.Config, name string) error {
	var names []string
	for _, s := range cfg.Streams {
		names = append(names, s.Name)
	}
	if slices.Contains(names, name) {
		return nil
	}
	return misuse(fmt.Errorf("no stream %q in %s; it describes %s", name, cfg.Path, strings.Join(names, ", ")), "")
}
