package cluster

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one thing that is wrong in a file, and where.
type Problem struct {
	File    string // as it was given to Load
	Line    int    // from 1
	Column  int    // from 1, in characters; 0: the whole line
	Key     string // dotted, such as streams.MESSAGES.max_bytes; "": the file as a whole
	Message string // what is wrong and, where it can be said, what to write instead
	Excerpt string // the line and a caret below it, secrets masked; "" if it is better not shown
}

// String is the problem on one line, without its excerpt.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:", p.File, p.Line)
	if p.Column > 0 {
		fmt.Fprintf(&b, "%d:", p.Column)
	}
	if p.Key != "" {
		fmt.Fprintf(&b, " %s:", p.Key)
	}
	return b.String() + " " + p.Message
}

// Problems is the error that Load returns for a file that it could read but
// must refuse: everything that is wrong with it, in the order of its lines.
type Problems []Problem

// Error lists the problems, each followed by its excerpt.
func (ps *Problems) Error() string {
	var b strings.Builder
	for i, p := range *ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
		if p.Excerpt != "" {
			b.WriteByte('\n')
			b.WriteString(p.Excerpt)
		}
	}
	return b.String()
}

// sort puts the problems in the order of the lines; .env, which is read
// first, comes first.
func (ps *Problems) sort() {
	list := *ps
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.File != b.File {
			return a.Column == 0
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
}
