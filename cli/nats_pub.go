package cli

import (
	"errors"
	"fmt"
	"log"
	"strings"
	"sync/atomic"

	"github.com/choria-io/fisk"
	"github.com/nats-io/nats.go"
)

// publication watches over `app nats pub`. natscli's own pub prints
// "Published" and exits 0 even when no stream took the message; ours waits for
// JetStream's acknowledgement unless told otherwise, and fails without it.
type publication struct {
	publishing bool   // the command is pub
	storing    bool   // and it waits for the acknowledgement
	lost       int    // messages that pub logged as not published
	held       func() // logs that a message was published, once it is stored
}

// storeByDefault turns --jetstream of pub on and adds --no-jetstream.
func (p *publication) storeByDefault(cmd *fisk.CmdClause) error {
	pub := cmd.GetCommand("publish")
	if pub == nil {
		return errors.New("nest the NATS CLI: it has no publish command any more")
	}
	flag := pub.GetFlag("jetstream")
	if flag == nil {
		return errors.New("nest the NATS CLI: publish has no --jetstream any more")
	}
	value := &negatable{flag.Model().Value}
	flag.Default("true").SetValue(value)
	flag.Help("Wait until a stream has stored the message (the default)")
	pub.PreAction(func(*fisk.ParseContext) error {
		p.publishing, p.storing = true, value.String() == "true"
		return nil
	})
	return nil
}

// verdict has the last word on what natscli returned.
func (p *publication) verdict(err error) error {
	if err == nil && p.held != nil {
		p.held()
	}
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("%w; is a node running?", err)
	case !p.publishing:
		return err
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("nothing stored the message: no stream takes this subject, or its leader is just being elected and it can be repeated in a second: %w", err)
	case errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("no stream acknowledged the message; whether it is stored is unknown, repeat it with the same Nats-Msg-Id: %w", err)
	case err == nil && p.storing && p.lost > 0:
		return fmt.Errorf("%d messages were not acknowledged, see above", p.lost)
	}
	return err
}

// negatable is a boolean flag's value that also takes --no-.
type negatable struct{ fisk.Value }

func (*negatable) IsBoolFlag() bool          { return true }
func (*negatable) BoolFlagIsNegatable() bool { return true }

// natsLogger is what natscli logs through.
type natsLogger struct {
	*log.Logger
	pub  *publication
	over atomic.Bool // the command has returned
}

// Fatalf logs and ends the process, unless the command is over: a second after
// natscli has closed its connection it calls that fatal, which must not become
// the outcome of a command that went well.
func (l *natsLogger) Fatalf(format string, a ...any) {
	if !l.over.Load() {
		l.Logger.Fatalf(format, a...)
	}
}

// Printf logs, and counts the messages that were not published: with
// --send-on=newline natscli only logs them, and goes on to exit 0. That a
// message is published natscli says before it is sent: where an acknowledgement
// is waited for, it is said after that. The formats are all there is to tell
// these lines by; a test notices when they change.
func (l *natsLogger) Printf(format string, a ...any) {
	failed := strings.HasPrefix(format, "Could not publish message")
	if failed {
		l.pub.lost++
	}
	if held := l.pub.held; held != nil {
		l.pub.held = nil
		if !failed {
			held()
		}
	}
	if l.pub.storing && strings.HasPrefix(format, "Published ") {
		l.pub.held = func() { l.Logger.Printf(format, a...) }
		return
	}
	l.Logger.Printf(format, a...)
}
