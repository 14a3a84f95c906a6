package status

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"landfall/cluster"
	"landfall/message"
)

// pageFiles are the page: a template that this process renders, and what the
// browser asks for beside it.
//
//go:embed page
var pageFiles embed.FS

const (
	// lettersShown is how many dead letters the page has.
	lettersShown = 50

	// lettersWithin is how long Postgres may take to name them.
	lettersWithin = 2 * time.Second

	// chartsEvery is how often the charts are drawn anew: their points are
	// that far apart.
	chartsEvery = 5 * time.Second

	// writeWithin is how long a browser may take to read what it is sent.
	writeWithin = 10 * time.Second

	// mostPages is how many may be open on a node: they take connections that
	// messages need.
	mostPages = 200
)

// policy forbids the page whatever it does not need: nothing is loaded from
// elsewhere, and nothing that a message or Postgres said can run.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// PageOptions are what a Page needs to know.
type PageOptions struct {
	Config   *cluster.Config
	Overview *Overview

	// Letters are some of the dead letters that wait, limit at most. It brings
	// no deadline of its own.
	Letters func(ctx context.Context, limit int) ([]*message.DeadLetter, error)

	Log *slog.Logger // nil: silent
}

// Page shows an overview in a browser: at / the whole page as it is now, at
// /events what changes of it, as server-sent events. A browser without
// JavaScript loads it again every few seconds. All open pages are sent the same
// text, which is made once a second, and not while nobody looks.
type Page struct {
	o       PageOptions
	page    *template.Template
	assets  http.Handler
	closing context.Context
	close   context.CancelFunc
	open    atomic.Int64 // pages

	mu       sync.Mutex // guards what was rendered last
	of       *View
	sections map[string]string
	drawn    time.Time // when the charts were
}

// sectionNames are the parts of the page that change by themselves, in its order.
func sectionNames() []string { return []string{"headline", "nodes", "streams", "charts", "events"} }

// NewPage makes the page. Close ends the events that it sends.
func NewPage(o PageOptions) (*Page, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t, err := template.New("").Funcs(pageWords()).ParseFS(pageFiles, "page/page.html")
	if err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	p := &Page{o: o, page: t, assets: http.FileServerFS(pageFiles)}
	p.closing, p.close = context.WithCancel(context.Background())
	return p, nil
}

// Close ends what is being sent to browsers; they try again elsewhere, or here.
func (p *Page) Close() { p.close() }

// Shows tells whether a path is the page's.
func (p *Page) Shows(path string) bool {
	return path == "/" || path == "/events" || path == "/letters" || strings.HasPrefix(path, "/assets/")
}

// ServeHTTP answers /, /events, /letters and what is below /assets/.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the page is asked for with GET", http.StatusMethodNotAllowed)
		return
	}
	switch path := r.URL.Path; {
	case path == "/":
		p.servePage(w, r)
	case path == "/events":
		p.serveEvents(w, r)
	case path == "/letters":
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(p.letters(r.Context())))
	case strings.HasPrefix(path, "/assets/") && !strings.HasSuffix(path, "/") && !strings.HasSuffix(path, ".html"):
		r2 := r.Clone(r.Context())
		r2.URL.Path = "/page/" + strings.TrimPrefix(path, "/assets/")
		p.assets.ServeHTTP(w, r2)
	default:
		http.NotFound(w, r)
	}
}

// document is what the template of the whole page is given.
type document struct {
	Cluster, Node, Title, Subject string
	Now                           time.Time
	Others                        []NodeView
	Sections                      map[string]template.HTML
	Letters                       template.HTML
}

// servePage answers with the page as it is now.
func (p *Page) servePage(w http.ResponseWriter, r *http.Request) {
	v, err := p.o.Overview.View()
	if err != nil {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Refresh", "2")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	sections := p.render(v)
	d := document{
		Cluster: v.Cluster, Node: v.Node, Title: title(v), Now: v.Time, Subject: exampleSubject(p.o.Config.Streams),
		Sections: map[string]template.HTML{}, Letters: template.HTML(p.letters(r.Context())), //nolint:gosec // our own template's
	}
	for name, text := range sections {
		d.Sections[name] = template.HTML(text) //nolint:gosec // our own template's
	}
	for _, n := range v.Nodes {
		if !n.Itself {
			d.Others = append(d.Others, n)
		}
	}
	var b bytes.Buffer
	if err := p.page.ExecuteTemplate(&b, "page", d); err != nil {
		p.o.Log.Error("the status page could not be rendered", "error", err)
		http.Error(w, "the page could not be rendered; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // an error means that the browser is gone
}

// title begins with the level, for whoever has many tabs.
func title(v *View) string {
	return fmt.Sprintf("%s %s: Landfall %s", markOf(v.Verdict.Level), v.Verdict.Level, v.Cluster)
}

// exampleSubject is one that the first stream takes.
func exampleSubject(streams []cluster.Stream) string {
	for _, s := range streams {
		for _, subject := range s.Subjects {
			if !strings.ContainsAny(subject, "*>") {
				return subject
			}
		}
	}
	for _, s := range streams {
		for _, subject := range s.Subjects {
			return strings.NewReplacer("*", "try", ">", "try").Replace(subject)
		}
	}
	return ""
}

// render makes the sections of a view, once for all who look at it.
func (p *Page) render(v *View) map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == v {
		return p.sections
	}
	next := map[string]string{}
	for _, name := range sectionNames() {
		if name == "charts" {
			if v.Time.Sub(p.drawn) >= chartsEvery || p.sections == nil {
				next[name], p.drawn = drawCharts(v, p.o.Overview.history()), v.Time
			} else {
				next[name] = p.sections[name]
			}
			continue
		}
		next[name] = p.execute(name, v)
	}
	p.of, p.sections = v, next
	return next
}

// execute renders one template to one line: an event ends with a line.
func (p *Page) execute(name string, data any) string {
	var b bytes.Buffer
	if err := p.page.ExecuteTemplate(&b, name, data); err != nil {
		p.o.Log.Error("a part of the status page could not be rendered", "part", name, "error", err)
		return `<p class="unknown">This could not be shown; the log says why.</p>`
	}
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(b.String())
}
