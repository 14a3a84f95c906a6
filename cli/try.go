package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/choria-io/fisk"

	"landfall/cluster"
	"landfall/message"
	"landfall/store"
)

const (
	tryAtOnce  = 1000    // lines of a transaction
	tryLongest = 8 << 20 // bytes of a line
)

func addTry(app *fisk.Application, env *env) {
	cmd := app.Command("try", "Show what rows a sample would give")
	cmd.HelpLong(`Reads messages from a file or standard input, one JSON document a line, stores them in the table of the stream, in a
transaction that is rolled back, and prints for each what it would become: the row as the table would have it, or the
reason for which it would be a dead letter. Exits 1 if there is such a one.

Examples:

	app try ORDERS < sample.ndjson
	app try ORDERS sample.ndjson --subject orders.eu.new
	head -n 100 export.ndjson | app try ORDERS --json`)
	stream := cmd.Arg("stream", "A stream of cluster.yaml that has a table").Required().String()
	file := cmd.Arg("file", "Where the sample is; standard input if left out").String()
	subject := cmd.Flag("subject", "Subject of the messages (default: as the stream's first, sample for each wildcard)").PlaceHolder("SUBJECT").String()
	asJSON := cmd.Flag("json", "Print JSON, a line for each message").UnNegatableBool()
	config := configFlag(cmd)
	env.do(cmd, func(ctx context.Context) error {
		cfg, err := loadCluster(*config)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(cfg.Streams, func(s cluster.Stream) bool { return s.Name == *stream })
		if at < 0 {
			names := make([]string, len(cfg.Streams))
			for i, s := range cfg.Streams {
				names[i] = s.Name
			}
			return misuse(fmt.Errorf("there is no stream %q in %s; there is %s", *stream, *config, strings.Join(names, ", ")), "")
		}
		sample := env.stdin
		if *file != "" {
			f, err := os.Open(*file)
			if err != nil {
				return misuse(err, "")
			}
			defer f.Close()
			sample = f
		}
		if *subject == "" {
			*subject = sampleSubject(cfg.Streams[at].Subjects[0])
		}
		return env.try(ctx, cfg, *stream, *subject, sample, *asJSON)
	})
}

// sampleSubject is a subject that a stream's pattern takes.
func sampleSubject(pattern string) string {
	tokens := strings.Split(pattern, ".")
	for i, t := range tokens {
		if t == "*" || t == ">" {
			tokens[i] = "sample"
		}
	}
	return strings.Join(tokens, ".")
}

// try goes through the sample, some lines at a time.
func (e *env) try(ctx context.Context, cfg *cluster.Config, stream, subject string, sample io.Reader, asJSON bool) error {
	db, err := store.Open(cfg, "try")
	if err != nil {
		return err
	}
	defer db.Close()
	s := db.Stream(stream)
	lines := bufio.NewScanner(sample)
	lines.Buffer(nil, tryLongest)
	var ms []message.Message
	var numbers []int
	t := &trial{env: e, asJSON: asJSON}
	flush := func() error {
		tried, err := s.Try(ctx, ms)
		if err != nil {
			return asMisuse(err)
		}
		for i := range tried {
			if err := t.print(numbers[i], &tried[i]); err != nil {
				return err
			}
		}
		ms, numbers = ms[:0], numbers[:0]
		return nil
	}
	for number, seq := 1, uint64(1); lines.Scan(); number++ {
		body := bytes.TrimSpace(lines.Bytes())
		if len(body) == 0 {
			continue
		}
		ms = append(ms, message.Message{Seq: seq, Subject: subject, Data: bytes.Clone(body), Time: time.Now()})
		numbers = append(numbers, number)
		seq++
		if len(ms) == tryAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	if err := flush(); err != nil {
		return err
	}
	return t.conclude()
}

// asMisuse makes what the user has to mend end with code 2.
func asMisuse(err error) error {
	var setup *message.SetupError
	var none *store.TryError
	if errors.As(err, &setup) || errors.As(err, &none) {
		return misuse(err, "")
	}
	return err
}

// trial prints and counts.
type trial struct {
	*env
	asJSON        bool
	rows, refused int
}

func (t *trial) print(line int, r *store.Tried) error {
	if r.Refused != "" {
		t.refused++
	} else {
		t.rows++
	}
	if t.asJSON {
		enc := json.NewEncoder(t.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			Line int `json:"line"`
			*store.Tried
		}{line, r})
	}
	what := string(r.Row)
	switch {
	case r.Refused != "":
		what = "refused: " + r.Refused
	case r.Deletes:
		what = "deletes " + what
	}
	_, err := fmt.Fprintf(t.stdout, "%4d  %s\n", line, what)
	return err
}

func (t *trial) conclude() error {
	if !t.asJSON {
		fmt.Fprintf(t.stdout, "%d would be rows, %d dead letters; nothing was kept\n", t.rows, t.refused)
	}
	if t.refused > 0 {
		return errReported
	}
	return nil
}
