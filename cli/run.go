package cli

import (
	"context"
	"errors"

	"github.com/choria-io/fisk"
	"github.com/coreos/go-systemd/v22/daemon"

	"landfall/node"
	"landfall/process"
)

func addRun(app *fisk.Application, env *env) {
	cmd := app.Command("run", "Run a node: app --node n1 does the same").Default()
	cmd.HelpLong(`Runs one node of cluster.yaml until SIGINT or SIGTERM, which it obeys in order:
it finishes what it has accepted and hands over what it leads. A second signal
ends it at once; nothing acknowledged is lost either way.

The very first start of a cluster needs all its nodes, and waits for them; after
that a majority is enough. Postgres may come later, or be away.

Examples:

	app --node n1
	app run --node n2 --config /etc/landfall/cluster.yaml
	app --node n3 --log-level debug 2> n3.log
	app --node n1 --pprof 127.0.0.1:6060 & go tool pprof http://127.0.0.1:6060/debug/pprof/profile`)
	name := nodeFlag(cmd, "The node of cluster.yaml to run").Required().String()
	config := configFlag(cmd)
	level := logLevelFlag(cmd)
	profiles := cmd.Flag("pprof", "Serve Go's profiles at this address of the machine itself").PlaceHolder("127.0.0.1:6060").String()
	env.do(cmd, func(ctx context.Context) error {
		cfg, err := loadCluster(*config)
		if err != nil {
			return err
		}
		if _, err := findNode(cfg, *name); err != nil {
			return err
		}
		log := env.logger(*level)
		settleMemory(log)
		if *profiles != "" {
			if err := servePprof(ctx, *profiles, log); err != nil {
				return err
			}
		}
		err = process.Run(ctx, process.Options{
			Config: cfg, Node: *name, Log: log, Version: readVersions().App,
			Notify: func(state string) {
				// Without a NOTIFY_SOCKET in the environment nobody is told.
				if _, err := daemon.SdNotify(false, state); err != nil {
					log.Debug("the service manager is not told", "state", state, "error", err)
				}
			},
		})
		if err != nil {
			log.Error("the node has stopped", "node", *name, "error", err)
			if errors.Is(err, node.ErrForeignDirectory) {
				return misuse(errReported, "") // unlike a full disk, no restart mends it
			}
			return errReported
		}
		return nil
	})
}
