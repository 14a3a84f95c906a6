package cli

import (
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/choria-io/fisk"
	"github.com/nats-io/jsm.go/natscontext"
	natscli "github.com/nats-io/natscli/cli"
	"github.com/nats-io/natscli/options"
)

const natsHelp = `The NATS CLI, pointed at the nodes of cluster.yaml: it connects to whichever
answers. --cluster-config (or LANDFALL_CONFIG) names another file, --server (or
NATS_URL) points it elsewhere, --context at a saved context. A command's own
--help shows the rest.

"pub" waits until the stream has stored the message, and fails if nothing did;
--no-jetstream publishes without asking. Bodies are Go templates: --no-templates
takes "{{" as it is.

Examples:

	app nats pub messages "Hello from Landfall"
	app nats pub -H Nats-Msg-Id:order-1 messages.orders '{"id":1}'
	app nats pub --count 1000 messages.test "message {{Count}} at {{Time}}"
	app nats sub "messages.>"
	app nats stream info MESSAGES
	app nats consumer info MESSAGES postgres`

// natsConfigHint is for those who give app nats the --config of the others.
const natsConfigHint = "app nats takes --cluster-config FILE, or --server URL"

// addNATS nests natscli below `app nats`. natscli has package globals, handles
// signals itself and exits the process on some errors, so it is attached only
// when this process was started for it: it never runs beside a node.
func addNATS(app *fisk.Application, env *env) {
	cmd := app.Command("nats", "The NATS CLI, pointed at this cluster: pub, sub, stream ...")
	cmd.HelpLong(natsHelp)
	if len(env.args) == 0 || (env.args[0] != "nats" && env.args[0] != "help") {
		return
	}
	if err := nestNATS(cmd, env); err != nil {
		cmd.PreAction(func(*fisk.ParseContext) error { return err })
	}
}

// nestNATS attaches natscli's commands and the flags its own main would have.
func nestNATS(cmd *fisk.CmdClause, env *env) error {
	opts := &options.Options{Timeout: 5 * time.Second, NoCheats: true}
	// Not --config, which some of natscli's commands have for other files.
	config := cmd.Flag("cluster-config", "The cluster's description").Default("cluster.yaml").
		Envar("LANDFALL_CONFIG").PlaceHolder("FILE").String()
	natsFlags(cmd, opts)

	// Before natscli's own PreAction, which turns opts into a connection.
	cmd.PreAction(func(pc *fisk.ParseContext) error {
		return pointNATS(pc, opts, *config)
	})
	if _, err := natscli.ConfigureInCommand(cmd, opts, true, "auth", "context", "plugins"); err != nil {
		return fmt.Errorf("nest the NATS CLI: %w", err)
	}
	// ConfigureInCommand has set its own; these replace them.
	natscli.SetContext(env.ctx)
	natscli.SetVersion(readVersions().App)
	pub := &publication{}
	logger := &natsLogger{Logger: log.New(env.stderr, "", log.Ltime), pub: pub}
	natscli.SetLogger(logger)
	env.finish = func(err error) error {
		logger.over.Store(true)
		return pub.verdict(err)
	}
	return pub.storeByDefault(cmd)
}

// natsFlags declares what natscli leaves to whoever embeds it.
func natsFlags(cmd *fisk.CmdClause, o *options.Options) {
	cmd.Flag("server", "NATS server urls instead of the cluster's").Short('s').Envar("NATS_URL").PlaceHolder("URL").StringVar(&o.Servers)
	cmd.Flag("user", "Username or token").Envar("NATS_USER").PlaceHolder("USER").StringVar(&o.Username)
	cmd.Flag("password", "Password").Envar("NATS_PASSWORD").PlaceHolder("PASSWORD").StringVar(&o.Password)
	cmd.Flag("token", "Token").Envar("NATS_TOKEN").PlaceHolder("TOKEN").StringVar(&o.Token)
	cmd.Flag("connection-name", "Name of the connection").Default("app nats").PlaceHolder("NAME").StringVar(&o.ConnectionName)
	cmd.Flag("creds", "User credentials").Envar("NATS_CREDS").PlaceHolder("FILE").StringVar(&o.Creds)
	cmd.Flag("nkey", "User NKEY").Envar("NATS_NKEY").PlaceHolder("FILE").StringVar(&o.Nkey)
	cmd.Flag("jwt", "User JWT").Envar("NATS_JWT").PlaceHolder("JWT").StringVar(&o.UserJwt)
	cmd.Flag("seed", "User seed").Envar("NATS_SEED").PlaceHolder("SEED").StringVar(&o.UserSeed)
	cmd.Flag("tlscert", "TLS public certificate").Envar("NATS_CERT").PlaceHolder("FILE").ExistingFileVar(&o.TlsCert)
	cmd.Flag("tlskey", "TLS private key").Envar("NATS_KEY").PlaceHolder("FILE").ExistingFileVar(&o.TlsKey)
	cmd.Flag("tlsca", "TLS certificate authority chain").Envar("NATS_CA").PlaceHolder("FILE").ExistingFileVar(&o.TlsCA)
	cmd.Flag("tlsfirst", "TLS handshake before the server's greeting").UnNegatableBoolVar(&o.TlsFirst)
	cmd.Flag("timeout", "How long to wait for responses").Default("5s").Envar("NATS_TIMEOUT").DurationVar(&o.Timeout)
	cmd.Flag("socks-proxy", "SOCKS5 proxy").Envar("NATS_SOCKS_PROXY").PlaceHolder("PROXY").StringVar(&o.SocksProxy)
	cmd.Flag("js-api-prefix", "Subject prefix of the JetStream API").PlaceHolder("PREFIX").StringVar(&o.JsApiPrefix)
	cmd.Flag("js-event-prefix", "Subject prefix of JetStream advisories").PlaceHolder("PREFIX").StringVar(&o.JsEventPrefix)
	cmd.Flag("js-domain", "JetStream domain").PlaceHolder("DOMAIN").StringVar(&o.JsDomain)
	cmd.Flag("inbox-prefix", "Prefix of inboxes").PlaceHolder("PREFIX").StringVar(&o.InboxPrefix)
	cmd.Flag("colors", "Color scheme of tables").PlaceHolder("SCHEME").Envar("NATS_COLOR").StringVar(&o.ColorScheme)
	cmd.Flag("context", "A saved context of the NATS CLI, instead of the cluster").PlaceHolder("NAME").StringVar(&o.CfgCtx)
	cmd.Flag("trace", "Show what is sent and received").UnNegatableBoolVar(&o.Trace)
}

// pointNATS fills in where to connect: --server and NATS_URL are there already,
// a context brings its own, else it is every node of cluster.yaml.
func pointNATS(pc *fisk.ParseContext, o *options.Options, config string) error {
	// A selected context would put its credentials into a connection to this
	// cluster; natscli unselects an unknown one on disk.
	natscli.SkipContexts = o.CfgCtx == ""
	switch {
	case o.CfgCtx != "":
		if !natscontext.IsKnown(o.CfgCtx) && !strings.HasSuffix(o.CfgCtx, ".json") {
			return fmt.Errorf("--context: the NATS CLI has no saved context %q", o.CfgCtx)
		}
		return nil
	case o.Servers != "":
		return nil
	}
	cfg, err := loadCluster(config)
	if err != nil {
		if offline(pc) {
			return nil
		}
		return misuse(err, natsConfigHint)
	}
	o.Servers = cfg.ClientURLs()
	if o.Token == "" && o.Username == "" && o.Creds == "" && o.Nkey == "" && o.UserJwt == "" {
		o.Token = cfg.Token // only ever to the cluster's own servers
	}
	return nil
}

// offline tells whether natscli gets by without a server: for help, and for
// commands that only know things.
func offline(pc *fisk.ParseContext) bool {
	for _, e := range pc.Elements {
		if f, ok := e.Clause.(*fisk.FlagClause); ok && strings.HasPrefix(f.Model().Name, "help") {
			return true
		}
	}
	if pc.SelectedCommand == nil {
		return true
	}
	if len(pc.SelectedCommand.Model().Commands) > 0 {
		return true // fisk is about to ask for a subcommand
	}
	command := pc.SelectedCommand.FullCommand()
	return slices.ContainsFunc([]string{"nats errors", "nats schema", "nats server passwd", "nats server generate"},
		func(prefix string) bool { return strings.HasPrefix(command, prefix) })
}
