package status

import (
	"fmt"
	"html/template"
	"time"

	"landfall/words"
)

// unknown stands for a figure that is not known.
const unknown = "–"

// pageWords are what the templates say figures with.
func pageWords() template.FuncMap {
	return template.FuncMap{
		"mark": markOf, "word": Word, "nodeMark": nodeMark, "nodeWord": nodeWord, "way": Way,
		"line": oneLine, "names": dashed, "reach": reachText,
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" },
		"count": countText, "signed": signedText, "rate": rateText, "millis": millisText, "optionalDuration": lagText,
		"number":   func(n any) string { return numberText(n) },
		"bytes":    func(n any) string { return bytesText(n) },
		"duration": func(s float64) string { return span(seconds(s)) },
		"took":     tookText,
		"window":   windowText, "eventText": eventText,
		"body": func(data []byte) string {
			if len(data) > 4*longestText {
				data = data[:4*longestText]
			}
			return oneLine(string(data))
		},
	}
}

func markOf(l Level) string {
	switch l {
	case Green:
		return "✓"
	case Amber:
		return "!"
	}
	return "✕"
}

// Word says a level without a colour.
func Word(l Level) string {
	switch l {
	case Green:
		return "Fine"
	case Amber:
		return "Attention"
	}
	return "Trouble"
}

func nodeMark(s NodeState) string {
	switch s {
	case NodeUp:
		return "✓"
	case NodeDown:
		return "✕"
	}
	return "!"
}

func nodeWord(n NodeView) string {
	switch n.State {
	case NodeUp:
		return "up"
	case NodeUnready:
		return "not ready: " + n.Reason
	case NodeUnseen:
		return "not seen yet"
	}
	return "down for " + span(seconds(n.For))
}

// Way says who leads a stream and who stores it, and how that goes.
func Way(s StreamView) string {
	lead := "no leader is known"
	if s.Leader != "" {
		lead = "led by " + s.Leader
	}
	switch s.State {
	case "missing":
		return "no node that answers keeps it"
	case "nobody":
		return lead + ", stored by nobody who answers"
	case string(SinkStoring):
		return lead + ", stored by " + s.Sink
	case string(SinkStarting):
		return lead + ", " + s.Sink + " begins to store it"
	}
	return fmt.Sprintf("%s, %s at %s for %s: %s", lead, s.State, s.Sink, span(seconds(s.For)), s.Reason)
}

func countText(n *uint64) string {
	if n == nil {
		return unknown
	}
	return words.Thousands(int(*n))
}

func signedText(n *int64) string {
	if n == nil {
		return unknown
	}
	return words.Thousands(int(*n))
}

func numberText(n any) string {
	switch n := n.(type) {
	case uint64:
		return words.Thousands(int(n))
	case int:
		return words.Thousands(n)
	}
	return unknown
}

func bytesText(n any) string {
	switch n := n.(type) {
	case uint64:
		return words.Size(int64(n))
	case int64:
		return words.Size(n)
	}
	return unknown
}

func rateText(r *float64) string {
	if r == nil {
		return unknown
	}
	if *r > 0 && *r < 10 {
		return fmt.Sprintf("%.1f/s", *r)
	}
	return words.Thousands(int(*r+0.5)) + "/s"
}

func millisText(s float64) string {
	switch {
	case s == 0:
		return unknown
	case s >= 1:
		return words.Duration(seconds(s))
	}
	return fmt.Sprintf("%.1f ms", 1000*s)
}

func lagText(s *float64) string {
	if s == nil {
		return unknown
	}
	if *s == 0 {
		return "none"
	}
	return span(seconds(*s))
}

func tookText(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", 1000*s)
	}
	return words.Duration(seconds(s))
}
