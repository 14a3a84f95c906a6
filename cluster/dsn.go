package cluster

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// database is what a connection string says about the place of a database.
type database struct {
	hosts, ports []string
	name, user   string
}

const connectionForms = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE or host=... port=... dbname=... user=... password=..."

var otherURL = regexp.MustCompile(`^\s*[A-Za-z][\w+.-]*://`)

// parseDatabase reads a connection string as far as a slip in it can be told
// without connecting: pgx reads the rest. No error holds any of the text,
// because a slip may put the password anywhere.
func parseDatabase(text string) (database, error) {
	if strings.TrimSpace(text) == "" {
		return database{}, errors.New("is empty: " + connectionForms)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return database{}, errors.New("holds a control character or a line break")
	}
	rest, isURL := strings.CutPrefix(text, "postgres://")
	if !isURL {
		rest, isURL = strings.CutPrefix(text, "postgresql://")
	}
	var settings map[string]string
	var err error
	switch {
	case isURL:
		settings, err = urlSettings(rest)
	case otherURL.MatchString(text):
		return database{}, errors.New("is a URL, but not one that begins with postgres://")
	default:
		settings, err = keywordSettings(text)
	}
	if err != nil {
		return database{}, err
	}
	db := database{
		hosts: strings.Split(settings["host"], ","),
		ports: strings.Split(settings["port"], ","),
		name:  settings["dbname"],
		user:  settings["user"],
	}
	if len(db.ports) > 1 && len(db.ports) != len(db.hosts) {
		return database{}, errors.New("names another number of ports than of hosts")
	}
	for _, port := range db.ports {
		if port == "" {
			continue
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return database{}, errors.New("has a port that is not a number from 1 to 65535 (in a URL, write : / @ of a password as %3A %2F %40)")
		}
	}
	return db, nil
}

// urlSettings takes a URL after its scheme apart, the way libpq does: a
// password may hold anything but @ and /, several hosts are separated by commas.
func urlSettings(rest string) (map[string]string, error) {
	settings := map[string]string{}
	if strings.Contains(rest, " ") {
		return nil, errors.New("has a space (in a URL, write it as %20)")
	}
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		settings["user"], _, _ = strings.Cut(rest[:i], ":")
		if _, err := url.PathUnescape(rest[:i]); err != nil {
			return nil, errors.New("has a % in user or password that is not followed by two hexadecimal digits (write % as %25)")
		}
		rest = rest[i+1:]
	}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest, "@") {
		return nil, errors.New("has a second @, or one after a / (in a password, write @ as %40 and / as %2F)")
	}
	hosts, name, _ := strings.Cut(rest, "/")
	settings["dbname"] = name
	var names, ports []string
	for _, host := range strings.Split(hosts, ",") {
		name, port := host, ""
		if end := strings.IndexByte(host, ']'); strings.HasPrefix(host, "[") {
			if end < 2 || (end+1 < len(host) && host[end+1] != ':') {
				return nil, errors.New("has an IPv6 address whose brackets do not fit")
			}
			name, port = host[1:end], strings.TrimPrefix(host[end+1:], ":")
		} else if i := strings.IndexByte(host, ':'); i >= 0 {
			name, port = host[:i], host[i+1:]
		}
		names, ports = append(names, name), append(ports, port)
	}
	settings["host"], settings["port"] = strings.Join(names, ","), strings.Join(ports, ",")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(value, "=") {
			return nil, errors.New("has a parameter after ? that is not name=value")
		}
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, errors.New("has a % in a parameter that is not followed by two hexadecimal digits")
		}
		settings[key] = plain
	}
	for _, key := range []string{"host", "dbname", "user"} {
		plain, err := url.PathUnescape(settings[key])
		if err != nil {
			return nil, errors.New("has a % that is not followed by two hexadecimal digits")
		}
		settings[key] = plain
	}
	return settings, nil
}

// keywordSettings reads name=value pairs; values may be 'quoted', and a
// backslash takes the next character as it is.
func keywordSettings(text string) (map[string]string, error) {
	settings := map[string]string{}
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		key, rest, ok := strings.Cut(text, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" || strings.ContainsAny(key, " :/@'") {
			return nil, errors.New("is neither a URL nor name=value pairs: " + connectionForms)
		}
		rest = strings.TrimLeft(rest, " ")
		quoted := strings.HasPrefix(rest, "'")
		if quoted {
			rest = rest[1:]
		}
		var value strings.Builder
		i := 0
		for ; i < len(rest); i++ {
			if (quoted && rest[i] == '\'') || (!quoted && rest[i] == ' ') {
				break
			}
			if rest[i] == '\\' && i+1 < len(rest) {
				i++
			}
			value.WriteByte(rest[i])
		}
		if quoted {
			if i == len(rest) {
				return nil, errors.New("has a quote that is not closed")
			}
			i++
		}
		settings[key] = value.String()
		text = rest[i:]
	}
	return settings, nil
}

// Place names the database without user or password, for messages and
// pages: hosts, ports and database, as far as the connection string says.
func (p Postgres) Place() string {
	db, err := parseDatabase(p.URL)
	if err != nil {
		return "a database that cannot be named"
	}
	var places []string
	for i, host := range db.hosts {
		port := db.ports[0]
		if len(db.ports) > 1 {
			port = db.ports[i]
		}
		if host == "" {
			host = "default host"
		}
		if port != "" {
			host += ":" + port
		}
		places = append(places, host)
	}
	place := strings.Join(places, ",")
	if db.name != "" {
		place += "/" + db.name
	}
	return place
}
