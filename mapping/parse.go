package mapping

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseSource reads what stands in cluster.yaml for a column:
//
//	$  $.customer.id  $["odd name"].x  $.items[0]     from the document
//	subject  subject[2]                               all of it, or a token, from 1
//	message.seq  message.id  message.subject  message.published_at
//	header["Name"]                                    the header's first value
//
// The error shows the place and says what would be right.
func ParseSource(text string) (Source, error) {
	p := parser{text: text}
	s, err := p.source()
	if err == nil && p.at < len(text) {
		err = errors.New("nothing may follow here")
	}
	if err != nil {
		return Source{}, fmt.Errorf("source %s, at character %d: %w",
			quote(text), utf8.RuneCountInString(text[:p.at])+1, err)
	}
	return s, nil
}

// parser reads a source from left to right. Where it fails, at is the place.
type parser struct {
	text string
	at   int
}

var errStart = errors.New(`write $.field, subject[1], message.seq, message.id, message.subject, ` +
	`message.published_at or header["Name"]`)

func (p *parser) source() (Source, error) {
	if !utf8.ValidString(p.text) {
		return Source{}, errors.New("it is not valid UTF-8")
	}
	switch word := p.word(); word {
	case "":
		if p.next("$") {
			path, err := p.path()
			return Source{from: fromBody, path: path}, err
		}
	case "subject":
		return p.subject()
	case "header":
		if !p.next("[") {
			return Source{}, errors.New(`write header["Name"]`)
		}
		name, err := p.quoted()
		if err == nil && name == "" {
			err = errors.New("a header has a name")
		}
		return Source{from: fromHeader, name: name}, err
	case "message":
		return p.message()
	}
	p.at = 0
	if isPlain(p.text) {
		return Source{}, fmt.Errorf("for the document's field of that name write $.%s", p.text)
	}
	return Source{}, errStart
}

func (p *parser) subject() (Source, error) {
	s := Source{from: fromSubject}
	if !p.next("[") {
		return s, nil
	}
	start := p.at
	n, err := p.number()
	if err == nil && n == 0 {
		p.at, err = start, errors.New("a subject's tokens are counted from 1")
	}
	s.token = n
	return s, err
}

func (p *parser) message() (Source, error) {
	if p.next(".") {
		start := p.at
		switch p.word() {
		case "seq":
			return Source{from: fromSeq}, nil
		case "id":
			return Source{from: fromID}, nil
		case "subject":
			return Source{from: fromSubject}, nil
		case "published_at":
			return Source{from: fromPublished}, nil
		}
		p.at = start
	}
	return Source{}, errors.New("a message has seq, id, subject and published_at")
}

func (p *parser) path() ([]step, error) {
	var path []step
	for p.at < len(p.text) {
		switch {
		case p.next("."):
			name := p.word()
			if name == "" {
				return nil, errors.New(`a name is due; one with other characters than letters, digits, _ and - is written ["in quotes"], without a dot`)
			}
			path = append(path, step{name: name})
		case p.next(`["`):
			p.at--
			name, err := p.quoted()
			if err != nil {
				return nil, err
			}
			path = append(path, step{name: name})
		case p.next("["):
			n, err := p.number()
			if err != nil {
				return nil, err
			}
			path = append(path, step{index: n, element: true})
		default:
			return nil, errors.New(`.name, ["name"] or [0] is due; a name with other characters than letters, digits, _ and - is written ["in quotes"]`)
		}
	}
	return path, nil
}

// next takes s if it comes next.
func (p *parser) next(s string) bool {
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

// word takes the name that comes next, or nothing.
func (p *parser) word() string {
	rest := p.text[p.at:]
	n := strings.IndexFunc(rest, func(r rune) bool { return !isPlainRune(r) })
	if n < 0 {
		n = len(rest)
	}
	p.at += n
	return rest[:n]
}

// number takes digits and the bracket that ends them.
func (p *parser) number() (int, error) {
	rest := p.text[p.at:]
	n := 0
	for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
		n++
	}
	if n == 0 {
		return 0, errors.New(`a number is due, or a name in double quotes`)
	}
	i, err := strconv.ParseInt(rest[:n], 10, 32)
	if err != nil {
		return 0, errors.New("the number is too large")
	}
	p.at += n
	return int(i), p.bracket()
}

// quoted takes a JSON string and the bracket that ends it.
func (p *parser) quoted() (string, error) {
	rest := p.text[p.at:]
	if !strings.HasPrefix(rest, `"`) {
		return "", errors.New("a name in double quotes is due")
	}
	end := 1
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(rest) {
		return "", errors.New("the quotes are not closed")
	}
	name, err := jsontext.AppendUnquote(nil, rest[:end+1])
	if err != nil {
		return "", errors.New(`inside the quotes JSON's escapes are due, as in "a \"b\""`)
	}
	p.at += end + 1
	return string(name), p.bracket()
}

func (p *parser) bracket() error {
	if !p.next("]") {
		return errors.New("] is due")
	}
	return nil
}
