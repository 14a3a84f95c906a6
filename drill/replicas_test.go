package drill

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Three replicas agree after a load; one that has another body for a message
// on its disk does not.
func TestReplicas(t *testing.T) {
	t.Parallel()
	r := upRig(t, Options{})
	ctx := within(t, 2*time.Minute)
	nc := r.dial()
	ledger := newLedger(t)
	door := r.HTTPDoor(8)
	defer door.Close()
	load := Load{Messages: 500, Rate: 1000, Patience: time.Minute, Ways: []Way{{Door: door, Publishers: 8, Compose: compose("replicas", "http")}}}
	r.must(load.Run(ctx, ledger))
	r.must(r.agree(ctx, nc))

	victim := "n2"
	if _, err := r.Term(ctx, victim); err != nil {
		t.Fatal(err)
	}
	spoil(t, r.DataPath(victim), []byte(`"n":123,`), []byte(`"n":321,`))
	r.must(r.Start(victim))
	r.must(r.AwaitReady(ctx, victim))
	findings, err := Replicas(ctx, nc, Stream, r.nodeNames())
	r.must(err)
	t.Logf("%q", findings)
	if len(findings) == 0 || !strings.Contains(strings.Join(findings, ""), victim) {
		t.Errorf("found %q", findings)
	}
}

// spoil changes some bytes in a file of a directory.
func spoil(t *testing.T, dir string, old, changed []byte) {
	t.Helper()
	done := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, filepath.Join("streams", Stream, "msgs")) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, old) {
			return err
		}
		done++
		return os.WriteFile(path, bytes.Replace(data, old, changed, 1), 0o600)
	})
	if err != nil || done == 0 {
		t.Fatalf("spoiled %d files in %s: %v", done, dir, err)
	}
}

func TestReplicasAgainstEachOther(t *testing.T) {
	t.Parallel()
	like := func() *replica {
		return &replica{node: "n1", state: replicaState{1, 3, 3, 300, 0}, consumer: true,
			sampled: []uint64{1, 2, 3}, hashes: []Hash{{1}, {2}, {3}}}
	}
	for name, tc := range map[string]struct {
		spoil func(*replica)
		says  string
	}{
		"alike":               {func(*replica) {}, ""},
		"another end":         {func(r *replica) { r.state.Last = 2 }, "1 to 2"},
		"fewer bytes":         {func(r *replica) { r.state.Bytes-- }, "299 bytes"},
		"a deleted message":   {func(r *replica) { r.state.Deleted = 1 }, "1 deleted"},
		"no consumer":         {func(r *replica) { r.consumer = false }, "true; false"},
		"another message":     {func(r *replica) { r.hashes[1] = Hash{9} }, "1 of 3 messages looked at, the first at 2"},
		"a message is absent": {func(r *replica) { r.hashes[2] = Hash{} }, "the first at 3"},
	} {
		other := like()
		other.node = "n2"
		tc.spoil(other)
		found := like().against(other)
		if (len(found) == 0) != (tc.says == "") || !strings.Contains(fmt.Sprint(found), tc.says) {
			t.Errorf("%s: %q", name, found)
		}
	}
}

func TestSampleOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		first, last uint64
		n           int
		want        []uint64
	}{
		{0, 0, 4, []uint64{}},
		{8, 7, 4, []uint64{}},
		{7, 7, 4, []uint64{7}},
		{1, 4, 4, []uint64{1, 2, 3, 4}},
		{1, 100, 4, []uint64{1, 50, 99, 100}},
		{1, 5, 4, []uint64{1, 2, 4, 5}},
	} {
		if diff := cmp.Diff(tc.want, sampleOf(tc.first, tc.last, tc.n)); diff != "" {
			t.Errorf("%d to %d: %s", tc.first, tc.last, diff)
		}
	}
}
