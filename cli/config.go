package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/choria-io/fisk"

	"landfall/cluster"
)

// configFlag declares --config, which every command means alike.
func configFlag(cmd *fisk.CmdClause) *string {
	return cmd.Flag("config", "The cluster's description").Default("cluster.yaml").
		Envar("LANDFALL_CONFIG").PlaceHolder("cluster.yaml").String()
}

// nodeVar says which node this is where every node is started alike: in
// containers, whose health checks know no more either.
const nodeVar = "LANDFALL_NODE"

// nodeFlag declares --node.
func nodeFlag(cmd *fisk.CmdClause, help string) *fisk.FlagClause {
	return cmd.Flag("node", help).Envar(nodeVar).PlaceHolder("NAME")
}

// loadCluster reads the file that --config named. What is wrong with it is the
// user's to mend.
func loadCluster(path string) (*cluster.Config, error) {
	cfg, err := cluster.Load(path, os.LookupEnv)
	if err != nil {
		return nil, misuse(err, "")
	}
	return cfg, nil
}

// findNode is the node of that name, or an error that lists those there are.
func findNode(cfg *cluster.Config, name string) (cluster.Node, error) {
	if n, ok := cfg.Node(name); ok {
		return n, nil
	}
	err := fmt.Errorf("no node %q in %s; it describes %s", name, cfg.Path, strings.Join(cfg.NodeNames(), ", "))
	return cluster.Node{}, misuse(err, "")
}
