package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// schema is a JSON Schema (2020-12), as far as cluster.yaml needs it. It is
// never stricter than Load, or an editor would lie: what Load reads of a value
// after its variables are expanded, or by comparing it with others, is left to
// Load.
type schema struct {
	Schema      string `json:"$schema,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Type        string `json:"type,omitempty"`

	Properties           properties `json:"properties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	PropertyNames        *schema    `json:"propertyNames,omitempty"`
	MinProperties        int        `json:"minProperties,omitempty"`
	AdditionalProperties any        `json:"additionalProperties,omitempty"` // false, or a *schema

	Items       *schema `json:"items,omitempty"`
	MinItems    int     `json:"minItems,omitempty"`
	UniqueItems bool    `json:"uniqueItems,omitempty"`

	AnyOf     []schema `json:"anyOf,omitempty"`
	Enum      []string `json:"enum,omitempty"`
	Const     any      `json:"const,omitempty"`
	Minimum   int64    `json:"minimum,omitempty"`
	Maximum   int64    `json:"maximum,omitempty"`
	MinLength int      `json:"minLength,omitempty"`
	MaxLength int      `json:"maxLength,omitempty"`
	Pattern   string   `json:"pattern,omitempty"`
	// What an editor says instead of showing the pattern. No keyword of the
	// standard; validators pass over it.
	PatternErrorMessage string `json:"patternErrorMessage,omitempty"`

	Default  any   `json:"default,omitempty"`
	Examples []any `json:"examples,omitempty"`
}

// Schema is the JSON Schema of cluster.yaml, for editors. It is made of the
// tables that the decoder takes its keys, defaults and limits from.
func Schema() ([]byte, error) {
	s := section("Landfall's cluster.yaml", "Describes a cluster: every node reads it. app validate checks what no schema can.", rootTable())
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return b.Bytes(), nil
}

// properties are keys in the order of the file, which is the one to read them in.
type properties []key

// MarshalJSON writes an object whose members keep their order.
func (ps properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, k := range ps {
		if i == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		if err := enc.Encode(k.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		v := k.value
		v.Title, v.Description = k.title, k.about
		if err := enc.Encode(v); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// section is a mapping with known keys.
func section(title, about string, keys []key) schema {
	s := schema{Title: title, Description: about, Type: "object", Properties: keys, AdditionalProperties: false}
	for _, k := range keys {
		if k.required {
			s.Required = append(s.Required, k.name)
		}
	}
	return s
}

// named is a mapping of names to sections.
func named(pattern string, longest int, each schema) schema {
	return schema{Type: "object", MinProperties: 1,
		PropertyNames: &schema{Pattern: pattern, MaxLength: longest}, AdditionalProperties: &each}
}

func listOf(each schema) schema {
	return schema{Type: "array", Items: &each, MinItems: 1, UniqueItems: true}
}

// unread is what a schema cannot judge of a text: it names a variable, or it
// is a block of lines, whose last line break Load drops.
const unread = `\$\{|\n$`

// textLike is a text of a form, or one that cannot be judged.
func textLike(pattern, message string) schema {
	return schema{Type: "string", Pattern: pattern + "|" + unread, PatternErrorMessage: message}
}

func anyText() schema { return schema{Type: "string", MinLength: 1} }

// oneOf is one of the words.
func oneOf(words ...string) schema {
	return schema{AnyOf: []schema{
		{Type: "string", Enum: words},
		{Type: "string", Pattern: unread, PatternErrorMessage: "must be " + strings.Join(words, " or ")},
	}}
}

func trueOrFalse() schema {
	return schema{AnyOf: []schema{
		{Type: "boolean"},
		{Type: "string", Pattern: `\$\{`, PatternErrorMessage: "must be true or false"},
	}}
}

// durationLike is a duration as time.ParseDuration reads it. One that may be
// zero may be minus zero too.
func durationLike(zero bool) schema {
	const units = `(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+`
	const message = "must be a duration, such as 30s, 10m or 72h"
	if zero {
		return textLike(`^[-+]?(0|`+units+`)$`, message)
	}
	return textLike(`^\+?`+units+`$`, message)
}

// foreverOr is a text, or the word.
func foreverOr(text schema) schema {
	return schema{AnyOf: []schema{text, {Type: "string", Const: forever}}}
}

// zeroOr is a text, or the number 0.
func zeroOr(text schema) schema {
	return schema{AnyOf: []schema{text, {Type: "integer", Const: 0}}}
}

func sizeLike() schema {
	units := make([]string, 0, len(sizeUnits()))
	for _, u := range sizeUnits() {
		units = append(units, u.name)
	}
	return textLike(strings.Replace(sizeForm.String(), "[A-Za-z]*", strings.Join(units, "|"), 1),
		"must be a size, such as 4GiB, 512MiB or 1GB")
}

// bytesOr is a text, or a number of bytes.
func bytesOr(text schema) schema {
	return schema{AnyOf: []schema{text, {Type: "integer", Minimum: minMaxBytes, Maximum: maxMaxBytes}}}
}

// or adds what is meant when the key is not there.
func (s schema) or(value any) schema {
	s.Default = value
	return s
}

func (s schema) example(values ...any) schema {
	s.Examples = values
	return s
}
