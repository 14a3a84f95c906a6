package status

import (
	"fmt"
	"strings"
	"time"

	"landfall/words"
)

// eventsListed are how many of the latest a terminal is given.
const eventsListed = 8

// Equation says where the messages are.
func Equation(v *View) string {
	return fmt.Sprintf("acknowledged %s − stored %s = in flight %s", countText(v.Acknowledged), countText(v.Stored), countText(v.InFlight))
}

// Tables are what the page shows below its headline, as rows of text: nodes,
// streams, and the latest events. The first row of each has the headings.
func Tables(v *View) [][][]string {
	nodes := [][]string{{"NODE", "STATE", "LEADS", "STORES", "UP FOR", "POSTGRES", "MEMORY", "ON DISK", "FSYNC P99", "VERSION"}}
	for _, n := range v.Nodes {
		row := []string{n.Name, nodeWord(n)}
		if n.There() {
			row = append(row, dashed(n.Leads), dashed(n.Stores), span(seconds(n.Uptime)), reachText(n.Postgres), bytesText(n.Memory), bytesText(n.Store), millisText(n.FsyncP99), n.Version)
		} else {
			row = append(row, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown)
		}
		nodes = append(nodes, row)
	}
	streams := [][]string{{"STREAM", "IN FLIGHT", "LAG", "LAST", "CURSOR", "PUBLISHED", "STORED", "BYTES", "DEAD LETTERS", "DUPLICATES", "GAPS", "WINDOW", "STATE"}}
	for _, s := range v.Streams {
		streams = append(streams, []string{
			s.Name, countText(s.InFlight), lagText(s.Lag), countText(s.Last), countText(s.Cursor), rateText(s.PublishRate), rateText(s.StoreRate),
			bytesText(s.Bytes) + " of " + bytesText(s.MaxBytes), signedText(s.DeadLetters), signedText(s.Duplicates), signedText(s.Gaps), windowText(s.Window), Way(s),
		})
	}
	events := [][]string{{"EVENT", "TOOK", "WHAT"}}
	for _, e := range v.Events[:min(len(v.Events), eventsListed)] {
		took := ""
		if e.Took > 0 {
			took = tookText(e.Took)
		}
		events = append(events, []string{e.Time.Local().Format(time.TimeOnly), took, eventText(e)})
	}
	all := [][][]string{nodes, streams}
	if len(events) > 1 {
		all = append(all, events)
	}
	return all
}

// eventText is what happened, and to which stream.
func eventText(e Event) string {
	text := e.Text
	if e.Stream != "" && !strings.Contains(text, e.Stream) {
		text = e.Stream + ": " + text
	}
	if e.Count > 1 {
		text += " (×" + words.Thousands(e.Count) + ")"
	}
	return text
}

func windowText(s float64) string {
	if s == 0 {
		return unknown
	}
	return span(seconds(s))
}

func dashed(names []string) string {
	if len(names) == 0 {
		return unknown
	}
	return strings.Join(names, ", ")
}

func reachText(ok *bool) string {
	switch {
	case ok == nil:
		return unknown
	case *ok:
		return "reached"
	}
	return "not reached"
}
