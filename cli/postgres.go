package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/choria-io/fisk"

	"landfall/pgserver"
)

const (
	postgresPort = 55432 // the port in cluster.yaml; 5432 may be somebody else's
	// rootPostgresData is where root's Postgres keeps its data when the
	// working directory is closed to other users, as /root is: Postgres
	// refuses to run as root.
	rootPostgresData = "/var/lib/landfall-postgres"
)

func addPostgres(app *fisk.Application, env *env) {
	cmd := app.Command("postgres", "Run a private Postgres, for people without Docker")
	cmd.HelpLong(postgresHelp)
	named := false
	data := cmd.Flag("data", "Where it keeps its data").Default("./data/postgres").
		PlaceHolder("./data/postgres").IsSetByUser(&named).String()
	port := cmd.Flag("port", "Its port on 127.0.0.1").Default(fmt.Sprint(postgresPort)).
		PlaceHolder(fmt.Sprint(postgresPort)).Int()
	env.do(cmd, func(ctx context.Context) error {
		dir := *data
		if !named {
			dir = env.reachableData(dir)
		}
		return env.runPostgres(ctx, pgserver.Options{Dir: dir, Port: *port})
	})
}

const postgresHelp = `Starts the newest PostgreSQL installed here on 127.0.0.1, with user, password and
database "app", and runs until Ctrl-C. The data stays where it is: the next start
goes on with it, and removing the directory starts over. It never touches another
Postgres.

Examples:

	app postgres
	app postgres --data /var/tmp/pg --port 55433`

// reachableData is the default directory, or root's, where the user that
// Postgres runs as could not reach it.
func (e *env) reachableData(dir string) string {
	err := pgserver.Reachable(dir)
	if err == nil || os.Geteuid() != 0 {
		return dir
	}
	fmt.Fprintf(e.stderr, "not in %s: %v\nusing %s instead; --data names another directory\n\n", dir, err, rootPostgresData)
	return rootPostgresData
}

// runPostgres starts the server, says how to reach it, and waits for Ctrl-C.
func (e *env) runPostgres(ctx context.Context, o pgserver.Options) (err error) {
	fmt.Fprintln(e.stderr, "starting Postgres ...")
	server, err := pgserver.Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()

	fmt.Fprintf(e.stdout, "Postgres is ready, its data in %s\n\n", filepath.Clean(server.Dir()))
	fmt.Fprintf(e.stdout, "  export DATABASE_URL='%s'\n", server.URL())
	fmt.Fprintf(e.stdout, "  %s\n\n", server.PSQL())
	fmt.Fprintln(e.stdout, "Ctrl-C stops it and keeps the data.")

	select {
	case <-ctx.Done():
		fmt.Fprintln(e.stderr, "stopping Postgres ...")
		return nil
	case <-server.Done():
		return fmt.Errorf("postgres has ended by itself; its log is %s", filepath.Join(server.Dir(), "postgres.log"))
	}
}
