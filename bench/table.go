package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// row is a line of the table: a subject, and what it is held against, measured
// in turns. Both have as many figures as there were rounds.
type row struct {
	Line    string  `json:"line"`
	Unit    string  `json:"unit"`
	Subject series  `json:"subject"`
	Beside  string  `json:"beside,omitempty"` // what is beside it
	Limit   series  `json:"limit,omitempty"`
	Ratio   series  `json:"ratio,omitempty"` // subject by limit, round by round
	Goal    float64 `json:"goal,omitempty"`  // for the ratio's median, or the subject's where nothing is beside it; 0: none
	Least   bool    `json:"least,omitempty"` // the goal is a least one, else a most
	Note    string  `json:"note,omitempty"`
}

// compare makes the ratios. A limit that was measured once holds for all rounds.
func (r *row) compare() {
	for i, subject := range r.Subject {
		limit := 0.0
		switch {
		case len(r.Limit) == 1:
			limit = r.Limit[0]
		case i < len(r.Limit):
			limit = r.Limit[i]
		}
		if limit > 0 {
			r.Ratio = append(r.Ratio, subject/limit)
		}
	}
}

// verdict says how the row stands to its goal; "" without one.
func (r *row) verdict() string {
	if r.Goal == 0 {
		return ""
	}
	figure := r.Subject
	if len(r.Ratio) > 0 {
		figure = r.Ratio
	}
	sign, reached := "<=", figure.median() <= r.Goal
	if r.Least {
		sign, reached = ">=", figure.median() >= r.Goal
	}
	word := "missed"
	if reached {
		word = "reached"
	}
	return fmt.Sprintf("%s %s: %s", sign, number(r.Goal), word)
}

// series are the figures of one thing, one for each round.
type series []float64

func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// String is the median, with minimum and maximum where there are several.
func (s series) String() string {
	switch len(s) {
	case 0:
		return ""
	case 1:
		return number(s[0])
	}
	return fmt.Sprintf("%s (%s to %s)", number(s.median()), number(slices.Min(s)), number(slices.Max(s)))
}

// number keeps three digits, and groups large ones by thousands.
func number(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 1:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case f < 10:
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 2, 64), ".00")
	case f < 100:
		return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
	}
	digits := strconv.FormatFloat(f, 'f', 0, 64)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// percentile is the p-th of 100 of the figures, which it sorts.
func percentile(s series, p float64) float64 {
	if len(s) == 0 {
		return 0
	}
	slices.Sort(s)
	return s[min(len(s)-1, int(p/100*float64(len(s))))]
}

// report is what a run prints.
type report struct {
	Date    string `json:"date"`
	Machine string `json:"machine"`
	Rounds  int    `json:"rounds"`
	Rows    []row  `json:"rows"`
}

func (r *report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// markdown prints the table as the documentation has it.
func (r *report) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d rounds in turns: median (minimum to maximum)\n\n", r.Date, r.Machine, r.Rounds)
	b.WriteString("| line | unit | Landfall | beside it | | ratio | goal |\n|---|---|---|---|---|---|---|\n")
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", row.Line, row.Unit, row.Subject, row.Beside, row.Limit, row.Ratio, row.verdict())
		if row.Note != "" {
			fmt.Fprintf(&b, "| | | %s | | | | |\n", row.Note)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
