package cli

import (
	"context"

	"github.com/choria-io/fisk"

	"landfall/cluster"
)

func addSchema(app *fisk.Application, env *env) {
	cmd := app.Command("schema", "Print the JSON Schema of cluster.yaml, for editors")
	cmd.HelpLong(`With it an editor completes the keys of cluster.yaml, explains each where the
mouse stands, and underlines what is wrong while you type. Editors with the YAML
language server (VS Code, Neovim, Helix and others) find it by the first line of
the file:

	# yaml-language-server: $schema=cluster.schema.json

JetBrains' take it under JSON Schema Mappings. What compares keys with each
other or needs the environment is left to app validate. It reads no file.

Examples:

	app schema > cluster.schema.json
	app schema | jq .properties.streams`)
	env.do(cmd, func(context.Context) error {
		text, err := cluster.Schema()
		if err != nil {
			return err
		}
		_, err = env.stdout.Write(text)
		return err
	})
}
