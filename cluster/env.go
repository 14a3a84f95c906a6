package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/joho/godotenv"
	"github.com/mfridman/interpolate"
)

// lookup finds a variable, as os.LookupEnv does.
type lookup func(name string) (string, bool)

// withDotEnv adds the variables of a .env file to an environment that always
// wins, also with an empty value. A missing file is none. What is wrong with
// the file is returned without its text, which may be a secret.
func withDotEnv(path string, env lookup) (lookup, *Problem, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return env, nil, nil
	}
	if err != nil {
		return env, nil, fmt.Errorf("read variables: %w", err)
	}
	vars, err := godotenv.UnmarshalBytes(text)
	if err != nil {
		return env, &Problem{File: path, Line: brokenLine(string(text)),
			Message: "not NAME=value, or a quote that is not closed"}, nil
	}
	return func(name string) (string, bool) {
		if v, ok := env(name); ok {
			return v, true
		}
		v, ok := vars[name]
		return v, ok
	}, nil, nil
}

// brokenLine finds the line that godotenv, which does not tell, cannot read:
// the one after the longest beginning that it can.
func brokenLine(text string) int {
	lines := strings.SplitAfter(text, "\n")
	for n := len(lines); n > 0; n-- {
		if _, err := godotenv.Unmarshal(strings.Join(lines[:n], "")); err == nil {
			return n + 1
		}
	}
	return 1
}

const expansionForms = "write ${VAR}, ${VAR:-default} or ${VAR?message}, and $$ for a dollar sign before a brace"

// expand replaces ${VAR}, ${VAR:-default} and ${VAR?message} in a value, and
// $$ by one dollar sign. Any other dollar sign or backslash is itself: they
// are common in passwords. The error never holds the value.
func expand(text string, env lookup) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	if strings.ContainsRune(text, 0) {
		return "", errors.New("holds a NUL character")
	}
	// The parser reads $NAME as a variable and a backslash as an escape, which
	// they are not here: double the first, and hide the second as a NUL.
	expr, err := interpolate.NewParser(strings.ReplaceAll(doubleLoneDollars(text), `\`, "\x00")).Parse()
	if err != nil {
		return "", errors.New("cannot read the ${...} of this value: " + expansionForms)
	}
	return evaluate(expr, env)
}

// doubleLoneDollars doubles the dollar signs that begin neither ${ nor $$.
func doubleLoneDollars(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		b.WriteByte(text[i])
		if text[i] != '$' {
			continue
		}
		next := byte(0)
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch next {
		case '{':
		case '$':
			b.WriteByte('$')
			i++
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

// evaluate is stricter than the library's own: an unset variable without a
// default is an error, and what only a shell needs is refused.
func evaluate(expr interpolate.Expression, env lookup) (string, error) {
	var b strings.Builder
	for _, item := range expr {
		text, err := strings.ReplaceAll(item.Text, "\x00", `\`), error(nil)
		if item.Expansion != nil {
			text, err = evaluateOne(item.Expansion, env)
		}
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func evaluateOne(e interpolate.Expansion, env lookup) (string, error) {
	switch e := e.(type) {
	case interpolate.VariableExpansion:
		if v, ok := env(e.Identifier); ok {
			return v, nil
		}
		return "", fmt.Errorf("variable %s is not set; set it, also in a .env file beside this one, or write ${%s:-default}",
			e.Identifier, e.Identifier)
	case interpolate.EmptyValueExpansion:
		if v, _ := env(e.Identifier); v != "" {
			return v, nil
		}
		return evaluate(e.Content, env)
	case interpolate.UnsetValueExpansion:
		if v, ok := env(e.Identifier); ok {
			return v, nil
		}
		return evaluate(e.Content, env)
	case interpolate.RequiredExpansion:
		if v, ok := env(e.Identifier); ok {
			return v, nil
		}
		message, err := evaluate(e.Message, env)
		if err != nil {
			return "", err
		}
		if message == "" {
			message = "set it, also in a .env file beside this one"
		}
		return "", fmt.Errorf("variable %s is not set: %s", e.Identifier, message)
	}
	return "", errors.New("cannot cut a variable in pieces: " + expansionForms)
}
