package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxDimensions is how many an array may have in Postgres (MAXDIM in
// src/include/utils/array.h).
const maxDimensions = 6

// shape is what an array's literal has shown of its shape so far. Level 1 is
// the outermost array.
type shape struct {
	level  int                    // of the innermost open array
	index  [maxDimensions + 1]int // of the element at hand, by level
	length [maxDimensions + 1]int // of the first array closed at the level, plus 1; 0: none yet
	opened int                    // deepest level of an array
	leaf   int                    // level whose elements are values; 0: not met yet
	at     string                 // place of the element that was refused; "": the array is at fault
}

var errDepths = errors.New("an array that has both values and arrays for elements")

// arrayLiteral is the JSON array as Postgres writes arrays. The body's decoder
// has done its work by now, and is used again for the array. The error tells
// the place.
func (m *Mapping) arrayLiteral(c *Column, raw []byte) ([]byte, error) {
	m.input = *bytes.NewBuffer(raw)
	m.dec.Reset(&m.input, m.options...)
	start := len(m.arena)
	var s shape
	for {
		done, err := m.arrayStep(&s, c)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", c.Source, s.at, err)
		}
		if done {
			break
		}
	}
	if s.leaf == 0 {
		// Postgres knows one empty array only, whatever its dimensions.
		m.arena = append(m.arena[:start], '{', '}')
	}
	return m.arena[start:], nil
}

// arrayStep takes the next bracket or element; done: it was the last one.
func (m *Mapping) arrayStep(s *shape, c *Column) (done bool, err error) {
	kind := m.dec.PeekKind()
	if kind == ']' {
		if _, err := m.dec.ReadToken(); err != nil {
			return false, err
		}
		m.arena = append(m.arena, '}')
		err := s.close()
		return s.level == 0, err
	}
	if s.level > 0 && s.index[s.level] > 0 {
		m.arena = append(m.arena, ',')
	}
	// An array of JSON has one dimension: further in, arrays are values.
	if kind == '[' && (s.level == 0 || c.Kind.elem() != JSON) {
		if err := s.open(); err != nil {
			return false, err
		}
		m.arena = append(m.arena, '{')
		_, err := m.dec.ReadToken()
		return false, err
	}
	if err := s.value(); err != nil {
		return false, err
	}
	raw, err := m.dec.ReadValue()
	if err != nil {
		return false, err
	}
	if raw[0] == 'n' {
		m.arena = append(m.arena, "NULL"...)
	} else {
		var text []byte
		text, m.element, err = appendText(m.element[:0], c.Kind.elem(), c, raw)
		if err != nil {
			s.at = s.place()
			return false, err
		}
		m.arena = appendElement(m.arena, text)
	}
	s.index[s.level]++
	return false, nil
}

// appendElement quotes the element, always: so that neither NULL, nor a comma,
// nor white space in it can be taken for what it is not.
func appendElement(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, b := range text {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}

func (s *shape) open() error {
	if s.leaf > 0 && s.level >= s.leaf {
		return errDepths
	}
	if s.level == maxDimensions {
		return fmt.Errorf("an array of more than %d dimensions", maxDimensions)
	}
	s.level++
	s.index[s.level] = 0
	s.opened = max(s.opened, s.level)
	return nil
}

func (s *shape) value() error {
	if s.opened > s.level {
		return errDepths
	}
	s.leaf = s.level
	return nil
}

func (s *shape) close() error {
	n := s.index[s.level] + 1
	first := s.length[s.level]
	s.length[s.level] = n
	s.level--
	if s.level > 0 {
		s.index[s.level]++
	}
	if first != 0 && first != n {
		return fmt.Errorf("arrays of %d and of %d elements side by side, where Postgres wants equal ones", first-1, n-1)
	}
	return nil
}

// place is where in the array the element at hand is, from 0 as in a path.
func (s *shape) place() string {
	var b []byte
	for level := 1; level <= s.level; level++ {
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(s.index[level]), 10)
		b = append(b, ']')
	}
	return string(b)
}
