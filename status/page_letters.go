package status

import (
	"context"
	"fmt"
	"strings"

	"landfall/message"
)

// letterList is what the template of the dead letters is given.
type letterList struct {
	Unknown string
	List    []*message.DeadLetter
	More    bool
}

// letters asks Postgres for the dead letters and renders them.
func (p *Page) letters(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, lettersWithin)
	defer cancel()
	var l letterList
	var err error
	reached, _, known := p.o.Overview.o.Postgres()
	switch {
	case !known:
		l.Unknown = "Postgres has not been reached yet: whether any wait is not known."
	case !reached:
		l.Unknown = "Postgres cannot be reached from here: which of them wait is not known now."
	default:
		if l.List, err = p.o.Letters(ctx, lettersShown+1); err != nil {
			p.o.Log.Debug("dead letters could not be listed", "error", err)
			l = letterList{Unknown: "Postgres did not say which of them wait."}
		}
	}
	if len(l.List) > lettersShown {
		l.List, l.More = l.List[:lettersShown], true
	}
	return p.execute("letters", l)
}

// lettersVersion changes when the dead letters may have.
func lettersVersion(v *View) string {
	var b strings.Builder
	b.WriteString(v.Postgres.State)
	for _, s := range v.Streams {
		if s.DeadLetters != nil {
			fmt.Fprintf(&b, " %d", *s.DeadLetters)
		} else {
			b.WriteString(" ?")
		}
	}
	return b.String()
}
