package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/choria-io/fisk"
)

// version is set by the linker in release builds:
// go build -ldflags "-X landfall/cli.version=v1.2.3".
var version string

// versions is what `app version --json` prints.
type versions struct {
	App        string `json:"app"`
	NATSServer string `json:"nats_server"`
	NATSGo     string `json:"nats_go"`
	PGX        string `json:"pgx"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
}

func addVersion(app *fisk.Application, env *env) {
	cmd := app.Command("version", "Show the version of Landfall and of its parts")
	cmd.HelpLong(`Examples:

	app version
	app version --json | jq -r .nats_server`)
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	env.do(cmd, func(context.Context) error {
		v := readVersions()
		if *asJSON {
			return env.printJSON(v)
		}
		_, err := fmt.Fprintf(env.stdout, "landfall %s\nnats-server %s, nats.go %s, pgx %s, %s %s\n",
			v.App, v.NATSServer, v.NATSGo, v.PGX, v.Go, v.Platform)
		return err
	})
}

// readVersions asks the linker's variable first, then what the Go command
// recorded about this build.
func readVersions() versions {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionsOf(version, info)
}

func versionsOf(linked string, info *debug.BuildInfo) versions {
	v := versions{
		App:        cmp.Or(linked, info.Main.Version, "(devel)"),
		NATSServer: "unknown",
		NATSGo:     "unknown",
		PGX:        "unknown",
		Go:         runtime.Version(),
		Platform:   runtime.GOOS + "/" + runtime.GOARCH,
	}
	for _, dep := range info.Deps {
		switch dep.Path {
		case "github.com/nats-io/nats-server/v2":
			v.NATSServer = dep.Version
		case "github.com/nats-io/nats.go":
			v.NATSGo = dep.Version
		case "github.com/jackc/pgx/v5":
			v.PGX = dep.Version
		}
	}
	return v
}

// printJSON prints v to stdout, indented.
func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
