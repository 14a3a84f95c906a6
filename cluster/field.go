package cluster

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// mappingField is a mapping of the file, its keys unique and in file order.
type mappingField struct {
	field
	names  []string
	values map[string]field
	keys   map[string]position
}

// mapping reads the field as a mapping. Keys that are not known are problems;
// with no known keys given, every key is welcome.
func (f field) mapping(known ...string) (mappingField, bool) {
	var pairs []*ast.MappingValueNode
	switch n := f.node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		f.problem("must be a mapping of keys to values, not %s", kind(f.node))
		return mappingField{}, false
	}
	m := mappingField{field: f, values: map[string]field{}, keys: map[string]position{}}
	for _, pair := range pairs {
		at := f.doc.positionOf(pair.Key)
		name, ok := isScalar(pair.Key)
		if !ok {
			f.doc.problem(at, f.key, "a key must be a plain text, not %s%s", kind(pair.Key), quoteHint(pair.Key))
			continue
		}
		key := f.below(name, known)
		if first, ok := m.keys[name]; ok {
			f.doc.problem(at, key, "duplicate key, first on line %d", first.line)
			continue
		}
		m.keys[name] = at
		if len(known) > 0 && !slices.Contains(known, name) {
			f.doc.problem(at, key, "%s", unknownKey(name, known))
			continue
		}
		m.names = append(m.names, name)
		m.values[name] = field{doc: f.doc, key: key, at: f.doc.positionOf(pair.Value), node: pair.Value}
	}
	return m, true
}

// required returns the value under a key, or notes that it is missing.
func (m mappingField) required(name, example string) (field, bool) {
	if f, ok := m.values[name]; ok {
		return f, true
	}
	if m.key == "" {
		m.doc.problems = append(m.doc.problems, Problem{File: m.doc.file, Line: 1, Column: 1,
			Key: name, Message: "missing; write for example " + example})
		return field{}, false
	}
	m.problem("%s is missing; write for example %s", name, example)
	return field{}, false
}

// text is a value of the file after expansion, and how to show it.
type text struct {
	value string
	shown string // as in the file, quoted: what a variable held may be a secret
}

// text reads the field as a text and expands its variables.
func (f field) text() (text, bool) {
	raw, ok := isScalar(f.node)
	if !ok {
		f.problem("must be a text, not %s%s", kind(f.node), quoteHint(f.node))
		return text{}, false
	}
	return f.expanded(raw)
}

// scalar reads the field as a text or a whole number, which is for keys such
// as max_bytes that may be written either way.
func (f field) scalar() (text, bool) {
	if n, ok := f.node.(*ast.IntegerNode); ok {
		return text{n.Token.Value, n.Token.Value}, true
	}
	if n, ok := f.node.(*ast.FloatNode); ok {
		return text{n.Token.Value, n.Token.Value}, true
	}
	return f.text()
}

// flag reads the field as true or false.
func (f field) flag() bool {
	if b, ok := f.node.(*ast.BoolNode); ok {
		return b.Value
	}
	if raw, ok := isScalar(f.node); ok && strings.Contains(raw, "${") {
		if t, ok := f.expanded(raw); ok {
			if t.value == "true" || t.value == "false" {
				return t.value == "true"
			}
			f.problem("%s must be true or false", t.shown)
		}
		return false
	}
	f.problem("must be true or false, not %s", kind(f.node))
	return false
}

// list reads the field as a list.
func (f field) list(example string) ([]field, bool) {
	s, ok := f.node.(*ast.SequenceNode)
	if !ok {
		f.problem("must be a list, as in %s, not %s", example, kind(f.node))
		return nil, false
	}
	var items []field
	for i, n := range s.Values {
		items = append(items, field{doc: f.doc, key: f.key + "[" + strconv.Itoa(i) + "]", at: f.doc.positionOf(n), node: n})
	}
	return items, true
}

func (f field) expanded(raw string) (text, bool) {
	value, err := expand(raw, f.doc.env)
	if err != nil {
		f.problem("%v", err)
		return text{}, false
	}
	return text{value, shown(raw)}, true
}

// shown quotes a value as it stands in the file, shortened, and without what
// could be the password of a URL.
func shown(raw string) string {
	if m := urlUser.FindStringSubmatchIndex(raw); m != nil {
		raw = raw[:m[2]] + mask + raw[m[3]:]
	}
	if r := []rune(raw); len(r) > 60 {
		raw = string(r[:60]) + "..."
	}
	return strconv.Quote(raw)
}

// below is the dotted key of a name in the field's mapping. A slip may make
// a name of a secret: only what is surely none is shown.
func (f field) below(name string, known []string) string {
	section, _, _ := strings.Cut(f.key, ".")
	plain := len(name) <= 64 && !strings.ContainsAny(name, "=@") && !strings.Contains(name, "://") &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
	if f.key != "" && holdsSecrets(section) && !slices.Contains(known, name) && nearest(name, known) == "" {
		plain = false
	}
	switch {
	case !plain:
		name = mask
	case strings.Contains(name, " "):
		name = strconv.Quote(name)
	}
	if f.key == "" {
		return name
	}
	return f.key + "." + name
}
