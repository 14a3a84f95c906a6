package status

import (
	"bytes"
	"fmt"
	"net/http"
	"time"
)

// serveEvents sends the sections as they change, until the browser goes away
// or the node stops.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	defer p.open.Add(-1)
	if p.open.Add(1) > mostPages {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many status pages are open on this node", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep them
	if r.Method == http.MethodHead {
		return
	}
	control := http.NewResponseController(w)
	changed, quit := p.o.Overview.watch()
	defer quit()
	beat := time.NewTicker(stale)
	defer beat.Stop()
	sent := map[string]string{}
	for {
		var b bytes.Buffer
		if v, err := p.o.Overview.View(); err != nil {
			writeEvent(&b, "unknown", err.Error())
		} else {
			sections := p.render(v)
			sections = withWords(sections, v)
			for _, name := range append(sectionNames(), "title", "letters") {
				if text := sections[name]; text != sent[name] {
					writeEvent(&b, name, text)
					sent[name] = text
				}
			}
			writeEvent(&b, "tick", v.Time.Format(time.RFC3339Nano))
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeWithin))
		if _, err := w.Write(b.Bytes()); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.closing.Done():
			return
		case <-changed:
		case <-beat.C:
		}
	}
}

// withWords adds what is no section.
func withWords(sections map[string]string, v *View) map[string]string {
	all := map[string]string{"title": title(v), "letters": lettersVersion(v)}
	for name, text := range sections {
		all[name] = text
	}
	return all
}

func writeEvent(b *bytes.Buffer, name, data string) {
	fmt.Fprintf(b, "event: %s\ndata: %s\n\n", name, data)
}
