package drill

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/jackc/pgx/v5"

	"landfall/pgserver"
	"landfall/pgserver/pgtest"
)

// watched is a cluster whose page a person looks at, through the node view.
type watched struct {
	*rig
	*tab
	view string // node whose page it is
}

func (w *watched) must(err error) { w.rig.must(err) }

// page is the address of a node's page.
func (w *watched) page(node string) string {
	for _, n := range w.Addresses() {
		if n.Name == node {
			return "http://" + n.HTTP + "/"
		}
	}
	w.rig.t.Fatalf("no node %s", node)
	return ""
}

// figures are what changes from one second to the next in a verdict.
var figures = regexp.MustCompile(`[0-9][0-9,.]*|a moment`)

// agrees fails the test unless `app status` gives the verdict that the page has
// now, and exits as it should.
func (w *watched) agrees(code int) {
	w.rig.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		before := w.text("#verdict")
		out, got := w.command("status", "--node", w.view)
		after := w.text("#verdict")
		first, _, _ := strings.Cut(out, "\n")
		_, said, _ := strings.Cut(first, ": ")
		plain := func(s string) string { return figures.ReplaceAllString(s, "#") }
		if plain(before) == plain(said) || plain(after) == plain(said) {
			if got != code {
				w.rig.t.Errorf("app status exits with %d, not %d, where it says %q", got, code, said)
			}
			return
		}
		if time.Now().After(deadline) {
			w.rig.t.Errorf("the page says %q, app status says %q", after, said)
			return
		}
	}
}

// flow publishes a message every few milliseconds until the returned function
// is called.
func (w *watched) flow(nodes ...string) (stop func()) {
	ctx, cancel := context.WithCancel(w.rig.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		door := w.HTTPDoor(1, nodes...)
		defer door.Close()
		make := compose(runName(), "page")
		for n := 0; ctx.Err() == nil; n++ {
			_ = Deliver(ctx, door, make(n), 30*time.Second) // what is lost here other tests look for
			pause(ctx, 10*time.Millisecond)
		}
	}()
	return func() { cancel(); <-done }
}

const settledVerdict = 15 * time.Second // for everything that mends itself

// TestPage looks at the status page in a real browser, through the loss of the
// leader, of Postgres and of the node whose page it is, and through a message
// that Postgres refuses.
func TestPage(t *testing.T) {
	t.Parallel()
	findBrowser(t)
	server := pgtest.Server(t)
	ctx := within(t, 5*time.Minute)
	w := &watched{}
	if err := execOnce(ctx, server.URL(), `CREATE TABLE orders (id int PRIMARY KEY, total numeric CHECK (total >= 0))`); err != nil {
		t.Fatal(err)
	}
	w.rig = upRig(t, Options{DatabaseURL: server.URL(), Streams: []string{`ORDERS: { subjects: [orders], max_bytes: 64MiB, table: orders, mode: keep_first, key: [id] }`}})
	nc := w.dial()
	victim := w.nodeNames()[0]
	w.must(LeadBoth(ctx, nc, Stream, victim))
	w.view = w.nodeNames()[1]
	w.tab = newTab(t, 5*time.Minute)
	w.open(w.page(w.view))

	t.Log("healthy")
	w.says("#verdict", "all stored", settledVerdict)
	for _, n := range w.nodeNames() {
		w.says("#node-"+n+" .state", "up", 5*time.Second)
	}
	w.says("#node-"+victim, "stores MESSAGES", settledVerdict)
	w.healthy(ctx, victim)

	t.Log("the leader is killed")
	w.leaderKilled(ctx, victim)
	t.Log("Postgres is away")
	w.postgresAway(ctx, server)
	t.Log("a message that Postgres refuses")
	w.poisoned(ctx)
	t.Log("the node whose page it is is killed")
	w.watcherKilled(ctx)
}

// healthy looks at a cluster that has nothing to complain of.
func (w *watched) healthy(ctx context.Context, victim string) {
	t := w.rig.t
	stop := w.flow()
	w.reads("#stream-"+Stream+" dl", settledVerdict, "messages are published and stored", func(s string) bool {
		return strings.Contains(s, "published") && !strings.Contains(s, "published –") && !strings.Contains(s, "published 0/s") && !strings.Contains(s, "stored 0/s")
	})
	w.still(4 * time.Second)
	w.agrees(0)
	w.looks("healthy")
	stop()
	w.says("#verdict", "all stored", settledVerdict)

	w.run("try it", chromedp.SetValue("#try-body", "hello, page"), chromedp.Click("#try-send"))
	w.reads("#receipts li", 10*time.Second, "acknowledged, then stored", regexp.MustCompile(`sent → acknowledged as MESSAGES/\d+ after [\d.]+ ms → stored after [\d.]+ ms`).MatchString)
	if n := w.rows(ctx, `SELECT count(*) FROM messages WHERE content = 'hello, page'`); n != 1 {
		t.Errorf("%d rows of the message that was tried", n)
	}
	w.run("with the keyboard", chromedp.Focus("#try-subject"), chromedp.SendKeys("#try-subject", kb.Tab), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	w.reads("#receipts li", 10*time.Second, "tried with the keyboard alone", func(s string) bool {
		return strings.Contains(s, "stored after") && w.rows(ctx, `SELECT count(*) FROM messages WHERE content = 'hello, page'`) == 2
	})
	w.quiet()

	if got := w.withoutScripts(w.page(w.view), "#headline"); !strings.Contains(got, "all stored") || !strings.Contains(got, "in flight 0") {
		t.Errorf("without JavaScript: %q", got)
	}
	w.open(w.page(w.view))
}

func (w *watched) rows(ctx context.Context, query string) (n int) {
	w.rig.t.Helper()
	conn, err := pgx.Connect(ctx, w.url)
	w.must(err)
	defer conn.Close(ctx)
	w.must(conn.QueryRow(ctx, query).Scan(&n))
	return n
}

// leaderKilled kills the node that leads and stores, and starts it again.
func (w *watched) leaderKilled(ctx context.Context, victim string) {
	t := w.rig.t
	stop := w.flow(w.view)
	_, err := w.Kill(ctx, victim)
	w.must(err)
	took := w.says("#node-"+victim+" .state", "down", 10*time.Second)
	t.Logf("shown as down %s after kill -9", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("%s was shown as down only after %s", victim, took)
	}
	w.says("#verdict", victim+" has been down for", settledVerdict)
	w.says("#events", victim+" is gone", settledVerdict)
	w.says("#events", "leads MESSAGES", settledVerdict)
	w.says("#events", "before it "+victim+" did", settledVerdict)
	w.reads("#stream-"+Stream+" .way", settledVerdict, "others lead and store", func(s string) bool {
		return strings.Contains(s, "led by") && strings.Contains(s, "stored by") && !strings.Contains(s, victim)
	})
	w.agrees(1)
	w.looks("node-down")
	w.must(w.Start(victim))
	w.must(w.AwaitReady(ctx, victim))
	w.says("#node-"+victim+" .state", "up", settledVerdict)
	w.says("#events", victim+" is back", settledVerdict)
	stop()
	w.says("#verdict", "all stored", settledVerdict)
	w.agrees(0)
	w.quiet()
}

// postgresAway stops Postgres, and starts it again.
func (w *watched) postgresAway(ctx context.Context, server *pgserver.Server) {
	stop := w.flow()
	w.must(server.Shutdown())
	took := w.says("#verdict", "Postgres unreachable for", 20*time.Second)
	w.rig.t.Logf("the verdict came %s after Postgres was down", took.Round(time.Millisecond))
	w.reads("#verdict", 20*time.Second, "room for how long", regexp.MustCompile(`messages are kept, room for .+ more`).MatchString)
	w.reads("#headline .verdict", 30*time.Second, "red", func(s string) bool { return strings.HasPrefix(strings.TrimLeft(s, "✕ "), "Trouble: ") })
	w.reads("#in-flight", 10*time.Second, "messages wait", func(s string) bool { return s != "0" && s != "–" })
	w.says("#letters", "cannot be reached", settledVerdict)
	w.agrees(1)
	w.looks("postgres-down")
	w.must(server.Restart(ctx))
	stop()
	w.says("#verdict", "all stored", 30*time.Second)
	w.says("#events", "Postgres is reached again", settledVerdict)
	w.says("#letters", "None waits", settledVerdict)
	w.agrees(0)
	w.quiet()
}

// poisoned publishes what no row can be made of, and deals with it.
func (w *watched) poisoned(ctx context.Context) {
	t := w.rig.t
	door := w.HTTPDoor(1)
	defer door.Close()
	for _, m := range []Message{{ID: "good", Body: []byte(`{"id": 1, "total": 12}`)}, {ID: "bad", Body: []byte(`{"id": 2, "total": -1}`)}} {
		m.Subject = "orders"
		if told := Deliver(ctx, door, m, time.Minute); told.Outcome != Acked {
			t.Fatalf("%+v", told)
		}
	}
	w.says("#verdict", "1 dead letter", settledVerdict)
	w.says("#letters", "orders_total_check", settledVerdict)
	w.says("#letters", `{"id": 2, "total": -1}`, settledVerdict)
	w.agrees(1)
	w.looks("dead-letter")

	const letter = "#letter-ORDERS-2"
	act := func(name, answer string) {
		w.run(name, chromedp.Click(letter+` button[data-act="`+name+`"]`), chromedp.WaitVisible("dialog[open]"))
		if answer == "Escape" {
			w.run("escape", chromedp.KeyEvent(kb.Escape), chromedp.WaitNotPresent("dialog[open]"))
			return
		}
		w.run(answer, chromedp.Click("dialog[open] ."+answer), chromedp.WaitNotPresent("dialog[open]"))
	}
	waiting := func() int {
		return w.rows(ctx, `SELECT count(*) FROM landfall.dead_letters WHERE resolved_at IS NULL`)
	}
	act("retry", "yes")
	w.says(letter+" .answer", "refused again", settledVerdict)
	act("discard", "no")
	act("discard", "Escape")
	act("retry", "no")
	if n := waiting(); n != 1 {
		t.Fatalf("%d dead letters wait after three questions that were answered with no", n)
	}
	w.must(execOnce(ctx, w.url, `ALTER TABLE orders DROP CONSTRAINT orders_total_check`))
	act("retry", "yes")
	w.says("#letters", "None waits", settledVerdict)
	if n := waiting() + w.rows(ctx, `SELECT count(*) FROM orders`); n != 2 {
		t.Errorf("the letter did not become a row: %d", n)
	}
	w.says("#verdict", "all stored", settledVerdict)

	if told := Deliver(ctx, door, Message{ID: "worse", Subject: "orders", Body: []byte(`{"id": "x"}`)}, time.Minute); told.Outcome != Acked {
		t.Fatalf("%+v", told)
	}
	w.run("wait for it", chromedp.WaitVisible("#letter-ORDERS-3"))
	w.run("discard", chromedp.Click(`#letter-ORDERS-3 button[data-act="discard"]`), chromedp.WaitVisible("dialog[open]"), chromedp.Click("dialog[open] .yes"))
	w.says("#letters", "None waits", settledVerdict)
	if n := w.rows(ctx, `SELECT count(*) FROM landfall.dead_letters WHERE resolution = 'discarded'`); n != 1 {
		t.Errorf("%d letters are discarded", n)
	}
	w.says("#verdict", "all stored", settledVerdict)
	w.agrees(0)
	w.quiet("422") // the browser tells of the retry that was refused
}

// watcherKilled kills the node whose page is open, and starts it again.
func (w *watched) watcherKilled(ctx context.Context) {
	_, err := w.Kill(ctx, w.view)
	w.must(err)
	w.says("#lost", "does not answer", 10*time.Second)
	w.must(w.Start(w.view))
	w.must(w.AwaitReady(ctx, w.view))
	w.says("#live-text", "live,", 20*time.Second)
	w.reads("#lost", 5*time.Second, "no alarm", func(s string) bool { return s == "" })
	w.says("#verdict", "all stored", settledVerdict)
	w.quiet("ERR_")
}
