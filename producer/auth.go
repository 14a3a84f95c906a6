package producer

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// authorise tells whether the request carries the token: as a bearer token, or
// as the password of anybody. The digests
// are compared, so that neither the time it takes nor the length of what was
// sent tells anything about the token.
func (d *Door) authorise(r *http.Request) error {
	if d.o.Token == "" {
		return nil
	}
	scheme, sent, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if _, password, basic := r.BasicAuth(); basic { // as browsers ask a person for it
		sent = password
	} else if !ok || !strings.EqualFold(scheme, "Bearer") {
		return errNoToken
	}
	want, got := sha256.Sum256([]byte(d.o.Token)), sha256.Sum256([]byte(strings.TrimSpace(sent)))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return errWrongToken
	}
	return nil
}
