package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// node is a place in the document that a column wants, or that leads to one.
type node struct {
	members  map[string]*node
	elements map[int]*node

	// Slots are numbered so that those of everything inside a node follow its
	// own: slot:end is the node and all below it.
	slot, end int
}

// grow returns the node at the end of the path, and makes those on the way.
func (n *node) grow(path []step) *node {
	for _, s := range path {
		var next *node
		if s.element {
			next = n.elements[s.index]
		} else {
			next = n.members[s.name]
		}
		if next == nil {
			next = &node{}
			switch {
			case s.element && n.elements == nil:
				n.elements = map[int]*node{s.index: next}
			case s.element:
				n.elements[s.index] = next
			case n.members == nil:
				n.members = map[string]*node{s.name: next}
			default:
				n.members[s.name] = next
			}
		}
		n = next
	}
	return n
}

// number gives the node and all below it their slots, from slot on, and
// returns the one that follows.
func (n *node) number(slot int) int {
	n.slot = slot
	slot++
	for _, c := range n.members {
		slot = c.number(slot)
	}
	for _, c := range n.elements {
		slot = c.number(slot)
	}
	n.end = slot
	return slot
}

// maxDepth is how deep a document may nest. Postgres' own limit for jsonb is
// its stack, and a set-up error where it is small.
const maxDepth = 1000

// read finds what the columns want of the body, in one pass over it, and
// checks all of it. The columns' JSON is left in m.raw, as parts of the body:
// the decoder does not copy from a bytes.Buffer and never writes to it.
func (m *Mapping) read(body []byte) error {
	if len(body) == 0 {
		return errors.New("not JSON: the body is empty")
	}
	if at := tooDeep(body); at >= 0 {
		return fmt.Errorf("nested deeper than %d, at byte %d", maxDepth, at+1)
	}
	m.input = *bytes.NewBuffer(body)
	m.dec.Reset(&m.input, m.options...)
	kind := m.dec.PeekKind()
	if err := m.value(m.wanted, body); err != nil {
		return syntaxFault(body, err)
	}
	end := m.dec.InputOffset()
	if _, err := m.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("not JSON: the document ends at byte %d, and more follows", end)
	}
	return m.checkRoot(kind)
}

// value reads the value that comes next, which is at n. Met a second time,
// under a repeated name, it stands for the first one and all that was in it.
func (m *Mapping) value(n *node, body []byte) error {
	clear(m.raw[n.slot:n.end])
	kind := m.dec.PeekKind()
	inner := kind == '{' && n.members != nil || kind == '[' && n.elements != nil
	if !inner {
		v, err := m.dec.ReadValue()
		m.raw[n.slot] = v
		return err
	}
	if _, err := m.dec.ReadToken(); err != nil {
		return err
	}
	start := m.dec.InputOffset() - 1
	var err error
	if kind == '{' {
		err = m.object(n, body)
	} else {
		err = m.array(n, body)
	}
	if err != nil {
		return err
	}
	if _, err := m.dec.ReadToken(); err != nil {
		return err
	}
	m.raw[n.slot] = body[start:m.dec.InputOffset()]
	return nil
}

func (m *Mapping) object(n *node, body []byte) error {
	for m.more() {
		// ReadValue accepts only a string where a name is due, and unlike
		// Token.String makes no copy of it.
		name, err := m.dec.ReadValue()
		if err != nil {
			return err
		}
		if name[0] != '"' {
			return errors.New("an object's name is not a string") // the decoder has refused it
		}
		child := n.members[string(m.unquoteName(name))]
		if child == nil {
			if _, err := m.dec.ReadValue(); err != nil {
				return err
			}
			continue
		}
		if err := m.value(child, body); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mapping) array(n *node, body []byte) error {
	for i := 0; m.more(); i++ {
		child := n.elements[i]
		if child == nil {
			if _, err := m.dec.ReadValue(); err != nil {
				return err
			}
			continue
		}
		if err := m.value(child, body); err != nil {
			return err
		}
	}
	return nil
}

// more tells whether the object or array goes on. At a fault it says yes, and
// the next call of the decoder tells which.
func (m *Mapping) more() bool {
	kind := m.dec.PeekKind()
	return kind != '}' && kind != ']'
}

func (m *Mapping) unquoteName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	m.name, _ = jsontext.AppendUnquote(m.name[:0], quoted) // the decoder has checked it
	return m.name
}

// checkRoot refuses a document that no path can lead into: it is not what the
// table is made of, and its row would have nothing but defaults.
func (m *Mapping) checkRoot(kind jsontext.Kind) error {
	n := m.wanted
	switch {
	case n.members == nil && n.elements == nil,
		n.members != nil && kind == '{',
		n.elements != nil && kind == '[':
		return nil
	case n.members != nil:
		return fmt.Errorf("%s, where an object is due", describe(m.raw[n.slot]))
	}
	return fmt.Errorf("%s, where an array is due", describe(m.raw[n.slot]))
}

// tooDeep is where the text nests deeper than maxDepth, or -1.
func tooDeep(text []byte) int {
	// Few documents have so many brackets at all, and counting them is cheap.
	if len(text) <= maxDepth || bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) <= maxDepth {
		return -1
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
			if c == '\\' {
				i++
			}
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}
