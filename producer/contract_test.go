package producer

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is openapi.json, as something to hold answers against.
type contract struct {
	doc map[string]any

	mu       sync.Mutex // guards the rest
	compiler *jsonschema.Compiler
	breaches []string // answers that it does not know
}

// theContract is the one of all tests of this package.
var theContract = sync.OnceValue(func() *contract {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(openAPI))
	if err != nil {
		panic(err)
	}
	c := &contract{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler()}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := c.compiler.AddResource("openapi.json", doc); err != nil {
		panic(err)
	}
	return c
})

// at returns what is at a place of the document; a reference there is
// followed. It is nil if there is nothing.
func (c *contract) at(place ...string) (node map[string]any, pointer string) {
	node = c.doc
	for _, key := range place {
		next, ok := node[key].(map[string]any)
		if !ok {
			return nil, ""
		}
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if ref, ok := next["$ref"].(string); ok && len(next) == 1 {
			next, pointer = c.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		node = next
	}
	return node, pointer
}

// valid holds a JSON value against the schema at that pointer.
func (c *contract) valid(pointer string, value any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.compiler.Compile("openapi.json#" + pointer)
	if err != nil {
		return err
	}
	return s.Validate(value)
}

// template is the path of the document that a request's path follows, or "".
func (c *contract) template(path string) string {
	paths, _ := c.at("paths")
	got := strings.Split(path, "/")
	for t := range paths {
		want := strings.Split(t, "/")
		follows := len(want) == len(got)
		for i := 0; follows && i < len(want); i++ {
			follows = want[i] == got[i] || strings.HasPrefix(want[i], "{")
		}
		if follows {
			return t
		}
	}
	return ""
}

// everywhere are headers that need no word in the document.
var everywhere = []string{"Content-Type", "Content-Length", "Cache-Control", "Date", "Connection"}

// judge says what the document does not know of an answer.
func (c *contract) judge(method, path string, status int, header http.Header, body []byte) error {
	template := c.template(path)
	if template == "" || status == http.StatusNotFound && bytes.Contains(body, []byte(`problem:path"`)) {
		template, method = publishPath+"{subject}", http.MethodPost // the way there is documented there
	}
	item, _ := c.at("paths", template)
	operation := strings.ToLower(method)
	if method == http.MethodHead {
		operation = "get"
	}
	if item[operation] == nil { // not allowed, as the others say
		operation = "get"
		if item["post"] != nil {
			operation = "post"
		}
		if status != http.StatusMethodNotAllowed && status != http.StatusUnauthorized {
			return fmt.Errorf("%s is answered, and not documented", method)
		}
	}
	answer, pointer := c.at("paths", template, operation, "responses", strconv.Itoa(status))
	if answer == nil {
		return fmt.Errorf("status %d is not documented", status)
	}
	documented := map[string]bool{}
	headers, _ := answer["headers"].(map[string]any)
	for name := range headers {
		documented[http.CanonicalHeaderKey(name)] = true
	}
	for name := range header {
		if !documented[name] && !slices.Contains(everywhere, name) {
			return fmt.Errorf("header %s is not documented", name)
		}
	}
	for name := range documented {
		if header[name] == nil {
			return fmt.Errorf("header %s is missing", name)
		}
	}
	return c.judgeBody(answer, pointer, method, header, body)
}

func (c *contract) judgeBody(answer map[string]any, pointer, method string, header http.Header, body []byte) error {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("Content-Type: %w", err)
	}
	if content, _ := answer["content"].(map[string]any); content[media] == nil {
		return fmt.Errorf("media type %s is not documented", media)
	}
	if method == http.MethodHead {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return c.valid(pointer+"/content/"+strings.ReplaceAll(media, "/", "~1")+"/schema", value)
}

// watched passes requests on, and holds the answers against the contract. The
// probes are left out: they are another room's, and tests put others in their
// place.
func watched(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &watchedAnswer{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(a, r)
		if _, probe := h.(*Door); probe && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz") && a.status == http.StatusOK {
			return
		}
		c := theContract()
		if err := c.judge(r.Method, r.URL.EscapedPath(), a.status, w.Header(), a.body.Bytes()); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.breaches = append(c.breaches, fmt.Sprintf("%s %.100s: %d %.300s\n%v", r.Method, r.URL, a.status, a.body.Bytes(), err))
		}
	})
}

// watchedAnswer remembers what is written.
type watchedAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *watchedAnswer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *watchedAnswer) Write(p []byte) (int, error) {
	a.body.Write(p)
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController, that sets deadlines.
func (a *watchedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// judged runs the tests, and fails if openapi.json did not know an answer.
type judged struct{ tests interface{ Run() int } }

func (j judged) Run() int {
	code := j.tests.Run()
	for _, b := range theContract().breaches {
		fmt.Fprintln(os.Stderr, "openapi.json does not describe this answer:", b)
		code = max(code, 1)
	}
	return code
}
