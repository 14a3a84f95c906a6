package producer

import (
	_ "embed"
	"fmt"
	"io"
	"net/http"
)

// openAPIPath is where the description of this door is.
const openAPIPath = "/v1/openapi.json"

// openAPI describes every path, parameter, answer and refusal in OpenAPI 3.1.
// It is written by hand, and the tests hold the door's answers against it.
//
//go:embed openapi.json
var openAPI string

func (d *Door) serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		d.refuse(w, r, nil, fmt.Errorf("%w, not a %s", errGetMethod, r.Method))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// An error means that the client is gone, and there is nobody to tell.
	_, _ = io.WriteString(w, openAPI)
}
