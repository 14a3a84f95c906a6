// Landfall stores what is published to any node of a NATS JetStream cluster
// in Postgres, exactly once. See README.md.
package main

import (
	"context"
	"os"

	"landfall/cli"
)

func main() {
	err := cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(cli.ExitCode(err))
}
