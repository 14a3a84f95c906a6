package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/words"
)

// misuseError is what the user mends on the command line or in cluster.yaml.
type misuseError struct {
	err  error
	hint string // where to read on; may be ""
}

func (e *misuseError) Error() string { return e.err.Error() }
func (e *misuseError) Unwrap() error { return e.err }

// misuse makes err one that ends the process with code 2.
func misuse(err error, hint string) error {
	return &misuseError{err: err, hint: hint}
}

// errReported says that the command has failed and has itself told the user
// why; Run prints nothing more.
var errReported = errors.New("failed, as reported")

// errInterrupted is how a command ends that a signal stopped before it was done.
var errInterrupted = errors.New("interrupted")

// ExitCode is the process's exit code for what Run returned: 0 fine, 1 failed,
// 2 wrong usage or configuration.
func ExitCode(err error) int {
	var wrong *misuseError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		return 2
	default:
		return 1
	}
}

// report prints err for the user. The problems of a cluster.yaml are printed
// as they are: each begins with its file and line.
func report(w io.Writer, err error) {
	if err == nil || errors.Is(err, errReported) {
		return
	}
	var problems *cluster.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(w, problems)
	} else {
		fmt.Fprintln(w, "app: "+words.Plain(err))
	}
	var wrong *misuseError
	if errors.As(err, &wrong) && wrong.hint != "" {
		fmt.Fprintln(w, wrong.hint)
	}
}

// do makes fn what cmd does. Its context ends with the first SIGINT, SIGTERM
// or SIGHUP; from then on these signals have their usual effect again, so that
// a second one ends the process at once.
func (e *env) do(cmd *fisk.CmdClause, fn func(ctx context.Context) error) {
	cmd.Action(func(*fisk.ParseContext) error {
		stopping := []os.Signal{os.Interrupt, syscall.SIGTERM}
		if !signal.Ignored(syscall.SIGHUP) { // nohup stays in force
			stopping = append(stopping, syscall.SIGHUP)
		}
		ctx, stop := signal.NotifyContext(e.ctx, stopping...)
		defer stop()
		defer context.AfterFunc(ctx, stop)()

		err := fn(ctx)
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return errInterrupted
		}
		return err
	})
}
