package cluster

import "strings"

// unknownKey says what the writer of an unknown key may have meant: a key
// of this place spelled alike, or a key of another place.
func unknownKey(key string, known []string) string {
	if near := nearest(key, known); near != "" {
		return "unknown key, did you mean " + near + "?"
	}
	for _, place := range []struct {
		name string
		keys []string
	}{
		{"at the top level", rootKeys()},
		{"in nodes.NAME", nodeKeys()},
		{"in streams.NAME", streamKeys()},
		{"in postgres", postgresKeys()},
		{"in auth", authKeys()},
	} {
		for _, k := range place.keys {
			if k == key {
				return "unknown key here; it belongs " + place.name
			}
		}
	}
	return "unknown key; known here: " + strings.Join(known, ", ")
}

// nearest returns the known word that is most like the given one, or "".
func nearest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, bestDistance := "", 3
	plain := plainWord(word)
	for _, k := range known {
		d := distance(plain, plainWord(k))
		// Two slips in a short word make it another word.
		if d < bestDistance && d*3 <= len(k) {
			best, bestDistance = k, d
		}
	}
	return best
}

// plainWord drops what people write differently: case, - and _.
func plainWord(s string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, drop, change or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
