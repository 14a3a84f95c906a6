package cluster

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// document is one file while it is read: its lines, the environment, and the
// problems found so far.
type document struct {
	file     string
	lines    []string
	env      lookup
	problems Problems
}

// position is a place in the file, both from 1.
type position struct{ line, column int }

// field is a value of the file, with the dotted key it stands under.
type field struct {
	doc  *document
	key  string
	at   position
	node ast.Node
}

// problem notes one at a place.
func (d *document) problem(at position, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		File: d.file, Line: at.line, Column: at.column, Key: key,
		Message: fmt.Sprintf(format, args...),
		Excerpt: excerpt(d.lines, at.line, at.column),
	})
}

// problem notes one at the field's value.
func (f field) problem(format string, args ...any) {
	f.doc.problem(f.at, f.key, format, args...)
}

// parse reads the text as one YAML document. It answers false after noting
// why there is none.
func (d *document) parse(text string) (field, bool) {
	start := position{1, 1}
	if !utf8.ValidString(text) {
		for i, line := range d.lines {
			if !utf8.ValidString(line) {
				d.problems = append(d.problems, Problem{File: d.file, Line: i + 1, Column: 1,
					Message: "not UTF-8; save the file as UTF-8"})
				return field{}, false
			}
		}
	}
	file, err := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntaxProblem(err)
		return field{}, false
	}
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil || doc.Body.Type() == ast.DirectiveType:
			d.problem(d.positionOf(doc.Body), "", "cluster.yaml is one plain YAML document: no directives, no second ---")
			return field{}, false
		default:
			root = doc.Body
		}
	}
	if root == nil {
		d.problems = append(d.problems, Problem{File: d.file, Line: 1, Column: 1,
			Message: "the file is empty; it needs at least cluster, nodes and streams"})
		return field{}, false
	}
	return field{doc: d, at: start, node: root}, true
}

// syntaxProblem notes what the YAML parser says, without the texts that it
// quotes: they may be secrets.
func (d *document) syntaxProblem(err error) {
	at, message := position{1, 1}, "not YAML"
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		quoteless, _, _ := strings.Cut(syntax.Message, `"`)
		message += ": " + strings.TrimRight(quoteless, ": ")
		if syntax.Token != nil && syntax.Token.Position != nil {
			at = d.clamp(position{syntax.Token.Position.Line, syntax.Token.Position.Column})
		}
	}
	line := d.lines[at.line-1]
	switch {
	case strings.ContainsAny(line, "{[") && strings.Contains(line, "${"):
		message += `; within { } and [ ] a ${VAR} must be quoted: "${VAR}"`
	case strings.ContainsAny(line, "*>") && strings.ContainsAny(line, "[-"):
		message += `; a subject with * or > must be quoted: "orders.>"`
	}
	d.problem(at, "", "%s", message)
}

// clamp keeps a position of the parser inside the file.
func (d *document) clamp(at position) position {
	at.line = min(max(at.line, 1), len(d.lines))
	at.column = min(max(at.column, 1), utf8.RuneCountInString(d.lines[at.line-1])+1)
	return at
}

// positionOf is where a node begins in the text. The parser puts a plain
// text too far right when spaces follow it, so that is looked up again.
func (d *document) positionOf(n ast.Node) position {
	for {
		switch v := n.(type) {
		case *ast.MappingNode:
			if !v.IsFlowStyle && len(v.Values) > 0 {
				n = v.Values[0].Key
				continue
			}
		case *ast.MappingValueNode:
			n = v.Key
			continue
		}
		break
	}
	tok := n.GetToken()
	if tok == nil || tok.Position == nil {
		return position{1, 1}
	}
	at := d.clamp(position{tok.Position.Line, tok.Position.Column})
	if tok.Type != token.StringType || tok.Value == "" {
		return at
	}
	line := []rune(d.lines[at.line-1])
	first, _, _ := strings.Cut(tok.Value, " ")
	if strings.HasPrefix(string(line[at.column-1:]), first) {
		return at
	}
	before := line[:min(len(line), at.column-1+utf8.RuneCountInString(first))]
	if i := strings.LastIndex(string(before), first); i >= 0 {
		at.column = utf8.RuneCountInString(string(line)[:i]) + 1
	}
	return at
}

// isScalar tells whether a node is one value, and gives its text.
func isScalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(v.Value.Value, "\n"), true
	}
	return "", false
}

// kind names what a node is, for people.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode, nil:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	}
	return "an anchor, alias, tag or merge"
}

// quoteHint says when quotes would make a text of a node that is none.
func quoteHint(n ast.Node) string {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return "; put it in quotes"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "; a text that begins with * & or ! must be quoted"
	}
	return ""
}
