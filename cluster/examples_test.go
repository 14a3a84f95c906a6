package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// deployed is what a cluster.yaml below deploy/ must say, whatever else.
type deployed struct {
	path    string // of the file that it is, or is in
	nodes   []string
	address string // of a node's NATS clients, with %s for its name
	data    string
}

func deployments() []deployed {
	three := []string{"n1", "n2", "n3"}
	pods := []string{"landfall-0", "landfall-1", "landfall-2"}
	return []deployed{
		{"../deploy/compose/cluster.yaml", three, "%s:4222", "/data"},
		{"../deploy/three-machines/cluster.yaml", three, "%s.example.net:4222", "/var/lib/landfall"},
		{"../deploy/kubernetes/landfall.yaml", pods, "%s.landfall-nodes:4222", "/data"},
	}
}

// TestDeployments loads every example as its nodes do: with the two secrets in
// the environment, and without.
func TestDeployments(t *testing.T) {
	t.Parallel()
	for _, d := range deployments() {
		t.Run(d.path, func(t *testing.T) {
			t.Parallel()
			text := clusterYAML(t, d.path)
			const token, database = "a-token-of-the-test", "postgres://app:app@db.example.net:5432/app"
			c := mustLoad(t, text, map[string]string{"LANDFALL_TOKEN": token, "DATABASE_URL": database})

			if names := c.NodeNames(); !slices.Equal(names, d.nodes) {
				t.Errorf("it describes %v, not %v", names, d.nodes)
			}
			for _, n := range c.Nodes {
				if want := fmt.Sprintf(d.address, n.Name); n.Client != want {
					t.Errorf("%s is found at %s, not at %s", n.Name, n.Client, want)
				}
				if got := n.Bind(n.Route); got != "0.0.0.0:6222" {
					t.Errorf("%s binds %s for the other nodes, not every interface", n.Name, got)
				}
			}
			if c.Token != token || c.AllowInsecure {
				t.Error("it is open to everybody")
			}
			if c.Postgres.URL != database {
				t.Errorf("it stores in %s, not where DATABASE_URL says", c.Postgres.URL)
			}
			if c.Data != d.data {
				t.Errorf("its files are in %s, not in %s", c.Data, d.data)
			}

			// Nothing stands in for a secret that is missing.
			_, err := loadText(t, text, nil)
			var problems *Problems
			if !errors.As(err, &problems) || len(*problems) != 2 {
				t.Fatalf("without its variables: %v, not two problems", err)
			}
			for i, name := range []string{"DATABASE_URL", "LANDFALL_TOKEN"} {
				if !strings.Contains((*problems)[i].Message, "variable "+name+" is not set: ") {
					t.Errorf("%v does not ask for %s", (*problems)[i], name)
				}
			}
		})
	}
}

// TestDeploymentsAreAll finds a new example that the list above does not have.
func TestDeploymentsAreAll(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("../deploy/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if filepath.Base(filepath.Dir(path)) == "prometheus" { // describes no cluster
			continue
		}
		if !slices.ContainsFunc(deployments(), func(d deployed) bool { return d.path == filepath.ToSlash(path) }) {
			t.Errorf("%s is in no test", path)
		}
	}
}

// manifest is what the tests read of a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		ServiceName         string `yaml:"serviceName"`
		PodManagementPolicy string `yaml:"podManagementPolicy"`
		Replicas            int    `yaml:"replicas"`
		ClusterIP           string `yaml:"clusterIP"`
		PublishNotReady     bool   `yaml:"publishNotReadyAddresses"`
	}
}

func manifests(t *testing.T, path string) []manifest {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []manifest
	for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

// clusterYAML is the text of an example, which may be in a ConfigMap.
func clusterYAML(t *testing.T, path string) string {
	t.Helper()
	if filepath.Base(path) == "cluster.yaml" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, m := range manifests(t, path) {
		if text, ok := m.Data["cluster.yaml"]; ok {
			return text
		}
	}
	t.Fatalf("%s holds no cluster.yaml", path)
	return ""
}

// TestKubernetesNames holds the StatefulSet against its cluster.yaml: pods are
// called NAME-0 and so on, and found below a headless Service also before they
// are ready.
func TestKubernetesNames(t *testing.T) {
	t.Parallel()
	const path = "../deploy/kubernetes/landfall.yaml"
	c := mustLoad(t, clusterYAML(t, path), map[string]string{"LANDFALL_TOKEN": "12345678", "DATABASE_URL": "postgres:///app"})
	objects := map[string]manifest{}
	for _, m := range manifests(t, path) {
		objects[m.Kind+"/"+m.Metadata.Name] = m
	}
	set, ok := objects["StatefulSet/landfall"]
	if !ok {
		t.Fatal("no StatefulSet of that name")
	}
	if set.Spec.Replicas != len(c.Nodes) || set.Spec.PodManagementPolicy != "Parallel" {
		t.Errorf("%d pods, %s, for %d nodes that wait for each other", set.Spec.Replicas, set.Spec.PodManagementPolicy, len(c.Nodes))
	}
	for i, n := range c.Nodes {
		pod := fmt.Sprintf("%s-%d", set.Metadata.Name, i)
		for _, address := range []string{n.Client, n.Route, n.HTTP} {
			if n.Name != pod || !strings.HasPrefix(address, pod+"."+set.Spec.ServiceName+":") {
				t.Errorf("node %s at %s is not pod %s of %s", n.Name, address, pod, set.Spec.ServiceName)
			}
		}
	}
	service := objects["Service/"+set.Spec.ServiceName]
	if service.Spec.ClusterIP != "None" || !service.Spec.PublishNotReady {
		t.Errorf("Service %s hides pods that are not ready", set.Spec.ServiceName)
	}
}

// TestComposeNodes holds compose.yaml against both cluster.yaml: outside, its
// nodes have the ports of the one, inside those of the other.
func TestComposeNodes(t *testing.T) {
	t.Parallel()
	inside := mustLoad(t, clusterYAML(t, "../deploy/compose/cluster.yaml"),
		map[string]string{"LANDFALL_TOKEN": "12345678", "DATABASE_URL": "postgres:///app"})
	outside := mustLoad(t, clusterYAML(t, "../cluster.yaml"), nil)
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Environment map[string]string
			Ports       []string
			Profiles    []string
		}
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	for i, n := range inside.Nodes {
		service, ok := compose.Services[n.Name]
		if !ok || service.Environment["LANDFALL_NODE"] != n.Name {
			t.Errorf("no service runs node %s under its name", n.Name)
		}
		if o := outside.Nodes[i]; !slices.Equal(service.Ports, []string{o.Client + ":" + port(n.Client), o.HTTP + ":" + port(n.HTTP)}) {
			t.Errorf("%s has %v, which is not %s and %s outside", n.Name, service.Ports, o.Client, o.HTTP)
		}
	}
	for name, service := range compose.Services {
		_, node := inside.Node(name)
		if !node && name != "postgres" && len(service.Profiles) == 0 {
			t.Errorf("%s is started although nobody asked for it", name)
		}
	}
}

func port(address string) string {
	_, port, _ := strings.Cut(address, ":")
	return port
}
