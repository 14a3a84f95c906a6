package producer

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// admit tells whether the request may come in at all.
func (d *Door) admit(r *http.Request) error {
	if err := d.sameOrigin(r); err != nil {
		return err
	}
	return d.authorise(r)
}

// sameOrigin refuses what a page of another site has a browser send: the
// browser may be where this port can be reached, and it adds the token by
// itself. Whatever is no browser says neither Origin nor Sec-Fetch-Site, and is
// let through.
func (d *Door) sameOrigin(r *http.Request) error {
	if err := d.origins.Check(r); err != nil {
		return fmt.Errorf("%w: %w", errCrossOrigin, err)
	}
	if !d.knows(r.Host) {
		return fmt.Errorf("%w: none of the nodes is called %q", errCrossOrigin, r.Host)
	}
	return nil
}

// knows tells whether clients may know this node by the host. A name that
// somebody else has made lead here would make their page one of this origin
// (DNS rebinding); an address cannot.
func (d *Door) knows(host string) bool {
	if d.o.Hosts == nil {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") {
		return true // nobody outside this network can have made such a name
	}
	return slices.ContainsFunc(d.o.Hosts, func(known string) bool { return strings.EqualFold(known, host) })
}

// askPerson has a browser ask whoever sits there for the token.
func askPerson(w http.ResponseWriter) {
	w.Header().Add("WWW-Authenticate", `Basic realm="Landfall: any name, and the token as the password", charset="UTF-8"`)
}
