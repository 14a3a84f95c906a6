package drill

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// batch is a body of so many lines, each of them known from its number, so
// that Postgres itself can hold the rows against them.
type batch struct {
	key   string
	lines int
	pads  int // how often a line has the digest of its number: 32 bytes each
}

func (b batch) writeTo(w io.Writer) error {
	out := bufio.NewWriterSize(w, 256<<10)
	for n := 1; n <= b.lines; n++ {
		digest := md5.Sum([]byte(strconv.Itoa(n)))
		if _, err := fmt.Fprintf(out, "{\"n\":%d,\"pad\":%q}\n", n, strings.Repeat(hex.EncodeToString(digest[:]), b.pads)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// batchAnswer is what a node answers to a batch, in either case.
type batchAnswer struct {
	Messages   int    `json:"messages"`
	Duplicates int    `json:"duplicates"`
	LastSeq    uint64 `json:"last_seq"`
	Detail     string `json:"detail"`
}

// isThere waits for Postgres, and checks that every line is one row with its
// own content, and that there are no others. It returns how many repeats
// Postgres has noted.
func (b batch) isThere(ctx context.Context, r *rig, seq uint64) (repeats int) {
	r.t.Helper()
	began := time.Now()
	r.stored(ctx, seq)
	r.t.Logf("Postgres had it %s later", time.Since(began).Round(time.Millisecond))
	conn, err := pgx.Connect(ctx, r.url)
	r.must(err)
	defer conn.Close(context.WithoutCancel(ctx))
	var rows, ids, right, odd int
	r.must(conn.QueryRow(ctx, `SELECT count(*), count(DISTINCT msg_id), count(*) FILTER (WHERE
			content = '{"n":' || n || ',"pad":"' || repeat(md5(n), $1) || '"}' AND msg_id = $2 || '/' || n AND n::int BETWEEN 1 AND $3)
		FROM (SELECT *, split_part(msg_id, '/', 2) AS n FROM messages) m`, b.pads, b.key, b.lines).Scan(&rows, &ids, &right))
	r.must(conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM landfall.dead_letters) + (SELECT count(*) FROM landfall.gaps),
		(SELECT count(*) FROM landfall.duplicates)`).Scan(&odd, &repeats))
	r.t.Logf("%d lines: %d rows, %d ids, %d with their own content, %d repeats noted", b.lines, rows, ids, right, repeats)
	if rows != b.lines || ids != b.lines || right != b.lines || odd != 0 {
		r.t.Errorf("that is not one row for each line; %d dead letters and gaps", odd)
	}
	return repeats
}

// uploadMiB is how far a node's memory may rise during an upload.
const uploadMiB = 256

// uploadLane sends one body of 2 GB to one node, and looks at its memory. Another
// node leads the stream and stores it, and takes more: what its consumers read
// the server keeps for ten seconds.
func uploadLane(t *testing.T) {
	r := upRig(t, Options{MaxBytes: "5GiB", StreamKeys: "replay_window: 1s"})
	ctx := within(t, 20*time.Minute)
	b := batch{key: "upload", lines: 1_000_000, pads: 62} // 2,000 bytes a line
	target, storing := r.Addresses()[0], r.Addresses()[1].Name
	r.must(LeadBoth(ctx, r.dial(), Stream, storing))
	m, other := memory{t, r.PID(target.Name)}, memory{t, r.PID(storing)}
	idle, _ := m.read()
	m.forget()
	other.forget()

	body, in := io.Pipe()
	written := countingWriter{to: in}
	var g errgroup.Group
	g.Go(func() error { return in.CloseWithError(b.writeTo(&written)) })
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+target.HTTP+"/v1/publish/messages.upload", body)
	r.must(err)
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", b.key)
	resp, err := http.DefaultClient.Do(req)
	r.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	r.must(err)
	took := time.Since(began)
	r.must(g.Wait())
	now, most := m.read()
	t.Logf("%d bytes in %s (%d lines/s): %d %s", written.n, took.Round(time.Second), rate(b.lines, took), resp.StatusCode, text)
	t.Logf("memory of %s: %d MiB idle, %d MiB at most, %d MiB at the end of the upload", target.Name, idle, most, now)
	if most > idle+uploadMiB {
		t.Errorf("that is more than %d MiB above idle", uploadMiB)
	}
	var answer batchAnswer
	r.must(json.Unmarshal(text, &answer))
	if resp.StatusCode != http.StatusOK || answer.Messages != b.lines {
		t.Fatalf("not all of %d lines are acknowledged", b.lines)
	}
	b.isThere(ctx, r, answer.LastSeq)
	_, most = m.read()
	t.Logf("memory of %s until all was stored: %d MiB at most", target.Name, most)
	_, most = other.read()
	t.Logf("memory of %s, which led and stored: %d MiB at most", storing, most)
}

// countingWriter counts what goes through; it is read when all is written.
type countingWriter struct {
	to io.Writer
	n  int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.n += int64(n)
	return n, err
}

// repeatLane sends a compressed file with curl while the node that leads and
// stores is killed, then all of it again to another node, within the duplicate
// window and beyond it.
func repeatLane(t *testing.T) {
	const window = 3 * time.Minute
	r := upRig(t, Options{MaxBytes: "3GiB", StreamKeys: "duplicate_window: " + window.String()})
	ctx := within(t, 30*time.Minute)
	nc := r.dial()
	b := batch{key: "repeat", lines: 1_000_000, pads: 1}
	path := filepath.Join(t.TempDir(), "lines.ndjson.gz")
	r.must(b.compressTo(path))

	now, err := AwaitLeaders(ctx, nc, Stream, func(Leaders) bool { return true })
	r.must(err)
	victim := now.Stream
	var hosts []string // of the others
	for _, n := range r.Addresses() {
		if n.Name != victim {
			hosts = append(hosts, n.HTTP)
		}
	}
	var first batchAnswer
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		var err error
		first, err = b.curl(gctx, t, hosts[0], path)
		return err
	})
	g.Go(func() error {
		w, err := NewWatch(gctx, r.url)
		if err != nil {
			return err
		}
		defer w.Close()
		if err := w.AwaitCursor(gctx, Stream, uint64(b.lines/4), time.Minute); err != nil {
			return err
		}
		if err := LeadBoth(gctx, nc, Stream, victim); err != nil {
			return err
		}
		t.Logf("killing %s", victim)
		return r.killAgain(gctx, nc, victim)
	})
	r.must(g.Wait())
	b.isThere(ctx, r, first.LastSeq)

	second, err := b.curl(ctx, t, hosts[1], path)
	r.must(err)
	if second.Duplicates != b.lines {
		t.Errorf("within the window %d of %d lines were told to be duplicates", second.Duplicates, b.lines)
	}
	before := b.isThere(ctx, r, second.LastSeq)

	t.Logf("waiting for the duplicate window to pass")
	pause(ctx, window+10*time.Second)
	third, err := b.curl(ctx, t, hosts[0], path)
	r.must(err)
	if noted := b.isThere(ctx, r, third.LastSeq) - before; noted+third.Duplicates < b.lines {
		t.Errorf("beyond the window %d repeats were noted and %d told, of %d lines", noted, third.Duplicates, b.lines)
	}
}

func (b batch) compressTo(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	if err := b.writeTo(z); err != nil {
		return err
	}
	return z.Close()
}

// curl sends the file, and all of it again as long as the answer is 503: that
// is what it says to do.
func (b batch) curl(ctx context.Context, t *testing.T, host, path string) (batchAnswer, error) {
	var answer batchAnswer
	err := poll(ctx, time.Second, func(ctx context.Context) (bool, error) {
		began := time.Now()
		cmd := exec.CommandContext(ctx, "curl", "-sS", "--noproxy", "*", "-X", "POST", "-T", path, "-w", "\n%{http_code}",
			"-H", "Content-Type: application/x-ndjson", "-H", "Content-Encoding: gzip", "-H", "Idempotency-Key: "+b.key,
			"http://"+host+"/v1/publish/messages.repeat")
		out, err := cmd.Output()
		if err != nil {
			return false, fmt.Errorf("curl: %w", err)
		}
		at := strings.LastIndexByte(string(out), '\n')
		text, status := strings.TrimSpace(string(out[:at])), string(out[at+1:])
		t.Logf("curl after %s (%d lines/s): %s %s", time.Since(began).Round(time.Millisecond), rate(b.lines, time.Since(began)), status, text)
		answer = batchAnswer{}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			return false, fmt.Errorf("curl: read answer: %w", err)
		}
		switch status {
		case "200":
			return true, nil
		case "503", "429":
			return false, nil
		}
		return false, fmt.Errorf("curl: status %s", status)
	})
	return answer, err
}
