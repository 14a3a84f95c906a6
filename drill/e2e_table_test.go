package drill

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"landfall/pgserver/pgtest"
)

// command runs the program itself on the cluster, as its operator would.
func (r *rig) command(args ...string) (out string, code int) {
	r.t.Helper()
	cmd := exec.CommandContext(within(r.t, time.Minute), r.opts.Binary, append(args, "--config", r.ConfigPath())...)
	cmd.Dir, cmd.Env = r.Dir(), nodeEnv()
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	r.t.Logf("app %s: %s\n%s", strings.Join(args, " "), cmd.ProcessState, text)
	return string(text), cmd.ProcessState.ExitCode()
}

// A message whose parent is not there becomes a dead letter, and a row when the
// parent is and somebody retries: in its place, or under upsert as a message of
// its own.
func TestParentThatComesLater(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	ctx := within(t, 2*time.Minute)
	if err := execOnce(ctx, url, `CREATE TABLE customers (id int PRIMARY KEY);
		CREATE TABLE notes (id int, customer int REFERENCES customers, seq bigint);
		CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers DEFERRABLE INITIALLY DEFERRED, seq bigint)`); err != nil {
		t.Fatal(err)
	}
	r := upRig(t, Options{DatabaseURL: url, Streams: []string{
		`NOTES: { subjects: ["notes.>"], max_bytes: 64MiB, table: notes, columns: { seq: message.seq } }`,
		`ORDERS: { subjects: ["orders.>"], max_bytes: 64MiB, table: orders, mode: upsert, key: [id], columns: { seq: message.seq } }`,
	}})
	ledger, door := newLedger(t), r.HTTPDoor(1)
	defer door.Close()
	for _, subject := range []string{"notes.new", "orders.new"} {
		for _, m := range []Message{{ID: "1", Body: []byte(`{"id": 1, "customer": 7}`)}, {ID: "2", Body: []byte(`{"id": 2}`)}} {
			m.ID, m.Subject = subject+m.ID, subject
			r.send(ledger, door, m)
		}
	}
	r.storedOf(ctx, "NOTES", 2)
	r.storedOf(ctx, "ORDERS", 2)

	retry := []string{"dead-letters", "retry", "--all"}
	if out, code := r.command("dead-letters", "list"); code != 0 || !strings.Contains(out, "NOTES/1 ") || !strings.Contains(out, "ORDERS/1 ") || strings.Contains(out, "/2 ") {
		t.Error("there should be two dead letters")
	}
	if out, code := r.command(retry...); code != 1 || !strings.Contains(out, "NOTES/1  refused again") {
		t.Errorf("without the parent a retry ended with %d", code)
	}
	r.storedOf(ctx, "ORDERS", 3) // published again, and refused again
	if err := execOnce(ctx, url, `INSERT INTO customers VALUES (7)`); err != nil {
		t.Fatal(err)
	}
	if _, code := r.command(retry...); code != 0 {
		t.Errorf("with the parent a retry ended with %d", code)
	}
	r.storedOf(ctx, "ORDERS", 4)
	conn, err := pgx.Connect(ctx, url)
	r.must(err)
	defer conn.Close(context.WithoutCancel(ctx))
	for table, want := range map[string]string{"notes": "1 7 1, 2  2", "orders": "1 7 4, 2  2"} {
		var got string
		r.must(conn.QueryRow(ctx, `SELECT string_agg(concat_ws(' ', id, coalesce(customer::text, ''), seq), ', ' ORDER BY id) FROM `+table).Scan(&got))
		if got != want {
			t.Errorf("%s has %q, not %q", table, got, want)
		}
	}
	if out, code := r.command("dead-letters", "list"); code != 0 || !strings.Contains(out, "no dead letter waits") {
		t.Errorf("dead letters wait (%d): %s", code, out)
	}
	if _, code := r.command("verify"); code != 0 {
		t.Errorf("verify ended with %d", code)
	}
}
