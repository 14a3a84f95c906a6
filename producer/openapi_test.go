package producer

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpenAPIIsServed(t *testing.T) {
	t.Parallel()
	d := New(Options{Streams: theStreams, Token: "sesame"}) // also while the node is not up
	get := call{method: http.MethodGet, path: openAPIPath, header: headersOf("Authorization", "Bearer sesame")}
	w := get.at(d)
	if w.Code != http.StatusOK || w.Body.String() != openAPI || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("status %d, %v, %.80q", w.Code, w.Header(), w.Body)
	}
	refusedWith(t, call{method: http.MethodGet, path: openAPIPath}.at(d), 401, "token")
	get.method = http.MethodPost
	w = get.at(d)
	if refusedWith(t, w, 405, "method"); w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow %q", w.Header().Get("Allow"))
	}
}

// each calls do for every object of the document, with its place.
func each(v any, place string, do func(place string, object map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		do(place, v)
		for _, k := range slices.Sorted(maps.Keys(v)) {
			each(v[k], place+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), do)
		}
	case []any:
		for i, e := range v {
			each(e, place+"/"+strconv.Itoa(i), do)
		}
	}
}

// References lead somewhere, schemas are schemas, and examples follow them.
func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	c := theContract()
	if c.doc["openapi"] != "3.1.0" {
		t.Errorf("openapi %v", c.doc["openapi"])
	}
	operations := map[any]bool{}
	each(c.doc, "", func(place string, o map[string]any) {
		if ref, ok := o["$ref"].(string); ok {
			if found, _ := c.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...); found == nil {
				t.Errorf("%s: %s leads nowhere", place, ref)
			}
		}
		if id, ok := o["operationId"]; ok {
			if operations[id] || o["responses"] == nil || o["summary"] == nil {
				t.Errorf("%s: operation %v is there twice, or not whole", place, id)
			}
			operations[id] = true
		}
		if responses, ok := o["responses"].(map[string]any); ok {
			for status := range responses {
				if answer, _ := c.at(append(placeOf(place), "responses", status)...); answer["description"] == nil {
					t.Errorf("%s: answer %s has no description", place, status)
				}
			}
		}
		if o["schema"] == nil {
			return
		}
		examples, _ := o["examples"].(map[string]any)
		shown := []any{o["example"]}
		for _, e := range examples {
			shown = append(shown, e.(map[string]any)["value"])
		}
		for _, e := range shown {
			// Also without an example: the schema must compile.
			if err := c.valid(place+"/schema", e); err != nil && (e != nil || !strings.Contains(err.Error(), "validation failed")) {
				t.Errorf("%s: %v", place, err)
			}
		}
	})
	schemas, _ := c.at("components", "schemas")
	for name := range schemas {
		if err := c.valid("/components/schemas/"+name, map[string]any{}); err != nil && !strings.Contains(err.Error(), "validation failed") {
			t.Errorf("schema %s: %v", name, err)
		}
		if !strings.Contains(openAPI, `"#/components/schemas/`+name+`"`) {
			t.Errorf("schema %s is not used", name)
		}
	}
	if len(operations) != 10 {
		t.Errorf("operations %v", operations)
	}
}

// placeOf takes a JSON pointer apart.
func placeOf(pointer string) []string {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	return parts
}

// Every refusal is documented where it can be met, and nothing else is.
func TestOpenAPIRefusals(t *testing.T) {
	t.Parallel()
	// Those of the small paths; publishing can end with any but those
	// of receipts and dead letters.
	only := map[string][]string{
		receiptsPath + "{stream}/{seq}":         {"query", "sequence", "token", "cross-origin", "no-such-stream", "method", "internal", "not-asked", "not-up"},
		lettersPath:                             {"query", "token", "cross-origin", "no-such-stream", "method", "internal", "not-asked", "not-up"},
		lettersPath + "/{stream}/{seq}/retry":   {"sequence", "token", "cross-origin", "no-such-stream", "no-letter", "method", "still-refused", "internal", "not-asked", "not-retried", "not-up"},
		lettersPath + "/{stream}/{seq}/discard": {"sequence", "token", "cross-origin", "no-such-stream", "no-letter", "method", "internal", "not-asked", "not-discarded", "not-up"},
		statusPath:                              {"token", "cross-origin", "method", "status-unknown"},
		openAPIPath:                             {"token", "cross-origin", "method"},
		metricsPath:                             {"token", "cross-origin", "method"},
		"/healthz":                              {},
		"/readyz":                               {},
	}
	c := theContract()
	paths, _ := c.at("paths")
	for path := range paths {
		want, got := map[string][]string{}, map[string][]string{}
		for _, r := range append(refusals[:], unforeseen) {
			here := slices.Contains(only[path], r.name)
			if only[path] == nil {
				here = !slices.Contains([]string{"sequence", "no-such-stream", "no-letter", "still-refused", "not-retried", "not-discarded", "status-unknown"}, r.name)
			}
			status := strconv.Itoa(r.status)
			if kind := r.kind(); here && !slices.Contains(want[status], kind) {
				want[status] = append(want[status], kind)
			}
		}
		operation := "get"
		if c.doc["paths"].(map[string]any)[path].(map[string]any)["post"] != nil {
			operation = "post"
		}
		answers, _ := c.at("paths", path, operation, "responses")
		for status := range answers {
			kind, _ := c.at("paths", path, operation, "responses", status, "content", "application/problem+json", "schema", "properties", "type")
			if one, ok := kind["const"].(string); ok {
				got[status] = append(got[status], one)
			}
			several, _ := kind["enum"].([]any)
			for _, one := range several {
				got[status] = append(got[status], one.(string))
			}
		}
		for _, kinds := range []map[string][]string{want, got} {
			for status := range kinds {
				slices.Sort(kinds[status])
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: refusals (-table +document):\n%s", path, diff)
		}
	}
}

// literals are the strings in this package's own code that match.
func literals(t *testing.T, pattern string) []string {
	t.Helper()
	match := regexp.MustCompile(`^(?:` + pattern + `)$`)
	var found []string
	collect(t, func(n ast.Node) {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil && match.MatchString(s) {
				found = append(found, s)
			}
		}
	})
	slices.Sort(found)
	return slices.Compact(found)
}

// collect walks through this package's code without its tests.
func collect(t *testing.T, do func(ast.Node)) {
	t.Helper()
	files, err := parser.ParseDir(token.NewFileSet(), ".", nil, 0) //nolint:staticcheck // no build tags here
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files["producer"].Files {
		if !strings.HasSuffix(name, "_test.go") {
			ast.Inspect(f, func(n ast.Node) bool { do(n); return true })
		}
	}
}

// parameters of publishing, by where they are: their names and examples.
func parameters(in string) map[string]string {
	found := map[string]string{}
	operation, _ := theContract().at("paths", publishPath+"{subject}", "post")
	for _, p := range operation["parameters"].([]any) {
		if p := p.(map[string]any); p["in"] == in {
			found[p["name"].(string)] = fmt.Sprint(p["example"])
		}
	}
	return found
}

// What the document names the code knows, and the reverse.
func TestOpenAPINames(t *testing.T) {
	t.Parallel()
	paths, _ := theContract().at("paths")
	for _, p := range literals(t, `/[a-z][a-z0-9/]+(\.json)?`) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(paths)), func(documented string) bool { return strings.HasPrefix(documented, p) }) {
			t.Errorf("path %s is not documented", p)
		}
	}
	for path := range paths {
		r := httptest.NewRecorder()
		method := http.MethodGet
		if paths[path].(map[string]any)["post"] != nil {
			method = http.MethodPost
		}
		probes := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
		New(Options{Streams: theStreams, Probes: probes, Metrics: probes, Status: func() (any, error) { return 1, nil }}).ServeHTTP(r, httptest.NewRequest(method, strings.NewReplacer("{subject}", "messages", "{stream}", "MESSAGES", "{seq}", "1").Replace(path), nil))
		if r.Code == http.StatusNotFound || r.Code == http.StatusMethodNotAllowed {
			t.Errorf("path %s is documented, and answered with %d", path, r.Code)
		}
	}

	headers := parameters("header")
	known := literals(t, `Idempotency-Key|Content-Encoding|Trace[a-z]+|Ce-[A-Za-z]+|If-[A-Z].*|Accept|X-[A-Z].*[^-]|Prefer|Expect`)
	for _, k := range known {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(headers)), func(documented string) bool { return http.CanonicalHeaderKey(documented) == k }) {
			t.Errorf("header %s is not documented", k)
		}
	}
	for name := range headers {
		if attribute, ok := strings.CutPrefix(name, eventPrefix); !slices.Contains(known, http.CanonicalHeaderKey(name)) && (!ok || literals(t, attribute) == nil) {
			t.Errorf("header %s is documented, and not known", name)
		}
	}

	content, _ := theContract().at("paths", publishPath+"{subject}", "post", "requestBody", "content")
	types := literals(t, `application/(x-ndjson|cloudevents.*)`)
	for _, media := range types {
		if content[media] == nil {
			t.Errorf("body %s is not documented", media)
		}
	}
	for media := range content {
		if media != "*/*" && !slices.Contains(types, media) {
			t.Errorf("body %s is documented, and not known", media)
		}
	}
}

func TestOpenAPIQuery(t *testing.T) {
	t.Parallel()
	documented := parameters("query")
	for name, example := range documented {
		if err := new(query).set(name, example); err != nil {
			t.Errorf("%s=%s: %v", name, example, err)
		}
	}
	var known []string
	collect(t, func(n ast.Node) {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != "set" || f.Recv == nil {
			return
		}
		if of, ok := f.Recv.List[0].Type.(*ast.StarExpr); !ok || fmt.Sprint(of.X) != "query" {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if c, ok := n.(*ast.CaseClause); ok {
				for _, e := range c.List {
					if l, ok := e.(*ast.BasicLit); ok {
						known = append(known, strings.Trim(l.Value, `"`))
					}
				}
			}
			return true
		})
	})
	slices.Sort(known)
	if diff := cmp.Diff(known, slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("query parameters (-code +document):\n%s", diff)
	}
}

// The headers of the document's examples are taken.
func TestOpenAPIHeaders(t *testing.T) {
	t.Parallel()
	event := http.Header{}
	for name, example := range parameters("header") {
		if strings.HasPrefix(name, eventPrefix) || strings.HasPrefix(name, "trace") {
			event.Set(name, example)
		}
	}
	travel, err := travelling(event)
	if err != nil {
		t.Fatal(err)
	}
	_, header, err := binaryEvent(event, travel)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) != len(event)+1 { // and the message id
		t.Errorf("headers %v of %v", header, event)
	}
}
