package drill

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// javascriptLane publishes with NATS' own packages for JavaScript, through a
// kill -9 of the node that leads and stores. It takes node and npm, and npm
// takes the packages from wherever it is set up to.
func javascriptLane(t *testing.T) {
	const messages = 10_000
	dir := javascriptClient(t)
	r := upRig(t, Options{})
	nc := r.dial()
	ledger, run := newLedger(t), runName()
	b := book(t, ledger, "javascript")
	refs := make(map[string]Ref, messages)
	for n := range messages {
		m := Message{ID: fmt.Sprintf("%s-%d", run, n), Subject: "messages.javascript", Body: fmt.Appendf(nil, `{"run":%q,"n":%d}`, run, n)}
		refs[m.ID] = b.Offer(m, time.Now())
	}
	began := time.Now()
	g, ctx := errgroup.WithContext(within(t, 5*time.Minute))
	g.Go(func() error {
		cmd := exec.CommandContext(ctx, "node", "publish.js", strings.Join(r.ClientURLs(), ","), run, strconv.Itoa(messages))
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		if err := tellPrinted(out, b, refs); err != nil {
			t.Error(err)
		}
		return cmd.Wait()
	})
	g.Go(func() error {
		if err := settled(ctx, ledger, messages/3); err != nil {
			return err
		}
		now, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true })
		if err != nil {
			return err
		}
		if err := LeadBoth(ctx, nc, Stream, now.Stream); err != nil {
			return err
		}
		t.Logf("killing %s with %d acknowledged", now.Stream, ledger.Tally().Acked)
		return r.killAgain(ctx, nc, now.Stream)
	})
	r.must(g.Wait())
	t.Logf("%d messages in %s, %d/s", messages, time.Since(began).Round(time.Millisecond), rate(messages, time.Since(began)))
	r.proves(ledger)
}

// javascriptClient copies the client and installs what it needs.
func javascriptClient(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "javascript"))); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(within(t, 5*time.Minute), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}

// tellPrinted enters the acknowledgements that the client prints, each an id
// and a sequence, into their book.
func tellPrinted(out io.Reader, b *Book, refs map[string]Ref) error {
	var wrong error
	for s := bufio.NewScanner(out); s.Scan(); {
		id, seq, _ := strings.Cut(s.Text(), " ")
		ref, known := refs[id]
		n, err := strconv.ParseUint(seq, 10, 64)
		if !known || err != nil {
			wrong = fmt.Errorf("the client prints %q", s.Text())
			continue
		}
		b.Tell(ref, Told{Outcome: Acked, At: time.Now(), Stream: Stream, Seq: n})
	}
	return wrong
}
