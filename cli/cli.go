// Package cli is Landfall's command line. Run parses the arguments with fisk
// and calls one command; the commands read cluster.yaml, call the rooms that
// do the work, and print. Nothing here decides anything about messages.
//
// Every command is one file with one function of the same shape,
//
//	func addHealth(app *fisk.Application, env *env)
//
// which is listed in commands below. It declares the command with its help and
// examples, puts flags on the command (never on the application: natscli,
// nested under `app nats`, has flags of the same names), and ends with
// env.do(cmd, func(ctx context.Context) error {...}). That ctx is cancelled by
// the first SIGINT or SIGTERM; the second signal ends the process at once.
// Commands write results to env.stdout and everything else to env.stderr, and
// return an error; exit.go says which exit code an error leads to.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/choria-io/fisk"
)

// env is what every command works with.
type env struct {
	// ctx lives as long as the run. Only do reads it: fisk's actions take no
	// context of their own.
	ctx    context.Context
	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// finish, if a command has set it, has the last word on the outcome.
	finish func(error) error
}

// commands lists what adds the commands, in the order of `app --help`.
func commands() []func(*fisk.Application, *env) {
	return []func(*fisk.Application, *env){
		addRun,
		addDemo,
		addDrill,
		addPostgres,
		addValidate,
		addTry,
		addSchema,
		addMigrate,
		addStatus,
		addHealth,
		addVerify,
		addDeadLetters,
		addNATS,
		addVersion,
	}
}

const appHelp = `Publish to any node; the message lands in Postgres exactly once.

A run on this machine, each line in a terminal of its own:

	app postgres
	app --node n1
	app --node n2
	app --node n3
	app nats pub messages "Hello from Landfall"
	app status

Every command has --help with examples. Exit codes: 0 fine, 1 failed, 2 wrong
usage or configuration.`

// errEnded stops fisk once it has shown help: its own way is to exit.
var errEnded = errors.New("ended")

// Run does what args ask for. What went wrong has been printed to stderr when
// Run returns; ExitCode turns its error into the process's exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	e := &env{ctx: ctx, args: args, stdin: stdin, stdout: stdout, stderr: stderr}
	app := fisk.New("app", appHelp)
	app.UsageWriter(stdout).ErrorWriter(stderr)
	app.HelpFlag.Short('h')

	// fisk calls Terminate after printing help and then goes on; the
	// application's action comes before any command's and stops it there. That
	// it is reached without help also means that parsing is over.
	ended, parsed, status := false, false, 0
	app.Terminate(func(code int) { ended, status = true, max(status, code) })
	app.Action(func(*fisk.ParseContext) error {
		if ended {
			return errEnded
		}
		parsed = true
		return nil
	})
	for _, add := range commands() {
		add(app, e)
	}

	err := knownCommand(app, args)
	if err == nil {
		_, err = app.Parse(args)
	}
	switch {
	case ended && status == 0:
		return nil
	case ended: // help for a command that does not exist; fisk has said so
		return misuse(errReported, "")
	case err != nil && !parsed:
		err = usageError(app, args, err)
	case e.finish != nil:
		err = e.finish(err)
	}
	report(stderr, err)
	return err
}

// knownCommand refuses a first word that is no command: fisk would give it to
// the default command and call it an unexpected argument.
func knownCommand(app *fisk.Application, args []string) error {
	switch {
	case len(args) == 0 && os.Getenv(nodeVar) != "":
		return nil // app alone runs that node
	case len(args) == 0:
		return errors.New("which node shall run here?")
	}
	word := args[0]
	if strings.HasPrefix(word, "-") || word == "help" || app.GetCommand(word) != nil {
		return nil
	}
	return fmt.Errorf("unknown command %q", word)
}

// usageError adds where to read on, unless err already says what to mend.
func usageError(app *fisk.Application, args []string, err error) error {
	var wrong *misuseError
	if errors.As(err, &wrong) {
		return err
	}
	return misuse(err, hint(app, args))
}

// hint names the help that would have helped.
func hint(app *fisk.Application, args []string) string {
	if len(args) == 0 {
		return "app --node n1 runs node n1 of ./cluster.yaml; app --help lists the commands"
	}
	if knownCommand(app, args) != nil {
		return "app --node n1 runs node n1; app --help lists the commands"
	}
	pc, err := app.ParseContext(args)
	if pc == nil || pc.SelectedCommand == nil || (err != nil && strings.HasPrefix(args[0], "-")) {
		return "app run --help shows how to run a node, app --help lists the commands"
	}
	isConfig := func(arg string) bool { return arg == "--config" || strings.HasPrefix(arg, "--config=") }
	if args[0] == "nats" && slices.ContainsFunc(args, isConfig) && pc.SelectedCommand.GetFlag("config") == nil {
		return natsConfigHint
	}
	return fmt.Sprintf("app %s --help shows how to use it", pc.SelectedCommand.FullCommand())
}
