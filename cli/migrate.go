package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/migrations"
)

func addMigrate(app *fisk.Application, env *env) {
	cmd := app.Command("migrate", "Make and keep Landfall's tables in Postgres")
	cmd.HelpLong(`Nodes do this themselves when they start, unless postgres.migrate is off. It only
ever adds, and is safe to repeat, also while nodes run.

Examples:

	app migrate status
	app migrate up
	app migrate print | less`)
	addMigrateUp(cmd, env)
	addMigrateStatus(cmd, env)
	addMigratePrint(cmd, env)
}

func addMigrateUp(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("up", "Bring the database up to date")
	cmd.HelpLong(`Works on postgres.migrate_url, or postgres.url, of cluster.yaml.

Examples:

	app migrate up
	DATABASE_URL=postgres://owner@db/app app migrate up`)
	config := configFlag(cmd)
	level := logLevelFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		cfg, err := loadCluster(*config)
		if err != nil {
			return err
		}
		o := migrations.Options{MessagesTable: cfg.MessagesTable, Log: env.logger(*level)}
		if err := migrations.Up(ctx, cfg.Postgres.MigrationURL(), o); err != nil {
			return migrateError(cfg, err)
		}
		_, err = fmt.Fprintf(env.stdout, "%s is up to date\n", cfg.Postgres.Place())
		return err
	})
}

func addMigrateStatus(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("status", "Show how far the database is")
	cmd.HelpLong(`Looks only, and changes nothing.

Examples:

	app migrate status
	app migrate status --json`)
	config := configFlag(cmd)
	asJSON := cmd.Flag("json", "Print JSON").UnNegatableBool()
	env.do(cmd, func(ctx context.Context) error {
		cfg, err := loadCluster(*config)
		if err != nil {
			return err
		}
		state, err := migrations.Status(ctx, cfg.Postgres.MigrationURL(), migrations.Options{MessagesTable: cfg.MessagesTable})
		if err != nil {
			return migrateError(cfg, err)
		}
		if *asJSON {
			return env.printJSON(state)
		}
		return printMigrations(env.stdout, cfg, state)
	})
}

func addMigratePrint(parent *fisk.CmdClause, env *env) {
	cmd := parent.Command("print", "Print the SQL that up would run on an empty database")
	cmd.HelpLong(`For administrators who run such things themselves: one script for psql, which
records what it does. Connects to nothing.

Examples:

	app migrate print > landfall.sql
	app migrate print | psql "$DATABASE_URL"`)
	config := configFlag(cmd)
	env.do(cmd, func(context.Context) error {
		cfg, err := loadCluster(*config)
		if err != nil {
			return err
		}
		return migrations.Print(env.stdout, cfg.MessagesTable)
	})
}

// migrateError says where it happened; a fault in the set-up is the user's to mend.
func migrateError(cfg *cluster.Config, err error) error {
	place := cluster.Postgres{URL: cfg.Postgres.MigrationURL()}.Place()
	err = fmt.Errorf("database %s: %w", place, err)
	var setup *migrations.SetupError
	if errors.As(err, &setup) {
		return misuse(err, "")
	}
	return err
}

func printMigrations(w io.Writer, cfg *cluster.Config, state migrations.State) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "VERSION\tFILE\tAPPLIED")
	for _, m := range state.Migrations {
		applied := "not yet"
		if m.AppliedAt != nil {
			applied = m.AppliedAt.Local().Format(time.DateTime)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\n", m.Version, m.File, applied)
	}
	fmt.Fprintf(tw, "\ntable %s: %s\n", state.MessagesTable, state.Messages)
	switch {
	case state.Current():
		fmt.Fprintf(tw, "%s is up to date\n", cluster.Postgres{URL: cfg.Postgres.MigrationURL()}.Place())
	case state.Messages == "foreign":
		fmt.Fprintln(tw, "it is not Landfall's: choose another name with messages_table: in cluster.yaml, or rename the existing table")
	default:
		fmt.Fprintln(tw, "app migrate up brings it up to date")
	}
	return tw.Flush()
}
