package node

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"landfall/cluster"
)

var update = flag.Bool("update", false, "write the golden files")

// TestServerOptions shows the server's options as they are, tagged out of
// JSON or not, so that a change in them is seen.
func TestServerOptions(t *testing.T) {
	t.Parallel()
	three := func(token, listen string) *cluster.Config {
		c := &cluster.Config{
			Name: "landfall", Data: "data", Token: token, ElectionTimeout: time.Second,
			Streams: []cluster.Stream{{Name: "MESSAGES", MaxBytes: 4 << 30}},
		}
		for _, n := range []string{"1", "2", "3"} {
			c.Nodes = append(c.Nodes, cluster.Node{
				Name: "n" + n, Client: "host" + n + ":4222", Route: "host" + n + ":6222", HTTP: "host" + n + ":8222", Listen: listen,
			})
		}
		return c
	}
	one := three("", "")
	one.Nodes = one.Nodes[:1]
	for name, c := range map[string]*cluster.Config{
		"plain": three("", ""), "auth": three("s3cret", "0.0.0.0"), "alone": one,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := serverOptions(c, c.Nodes[0])
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(visible(o), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "options_"+name+".json")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)+"\n"); d != "" {
				t.Errorf("options changed (-want +got):\n%s", d)
			}
		})
	}
}

// visible are the options we set, by name.
func visible(o *server.Options) map[string]any {
	routes := []string{}
	for _, r := range o.Routes {
		routes = append(routes, r.String())
	}
	return map[string]any{
		"ServerName": o.ServerName, "Host": o.Host, "Port": o.Port, "ClientAdvertise": o.ClientAdvertise,
		"Authorization": o.Authorization, "NoSigs": o.NoSigs, "DisableJetStreamBanner": o.DisableJetStreamBanner,
		"JetStream": o.JetStream, "StoreDir": o.StoreDir, "SyncAlways": o.SyncAlways,
		"JetStreamMaxStore": o.JetStreamMaxStore, "JetStreamMaxMemory": o.JetStreamMaxMemory,
		"LameDuckGracePeriod": o.LameDuckGracePeriod.String(), "LameDuckDuration": o.LameDuckDuration.String(),
		"HTTPPort": o.HTTPPort, "MaxPayload": o.MaxPayload,
		"Cluster.Name": o.Cluster.Name, "Cluster.Host": o.Cluster.Host, "Cluster.Port": o.Cluster.Port,
		"Cluster.PingInterval": o.Cluster.PingInterval.String(), "Cluster.MaxPingsOut": o.Cluster.MaxPingsOut,
		"Cluster.Advertise": o.Cluster.Advertise, "Cluster.Username": o.Cluster.Username, "Cluster.Password": o.Cluster.Password,
		"Routes": routes,
	}
}
