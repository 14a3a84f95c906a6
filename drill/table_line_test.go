package drill

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// tableLine is a document of a run that fills tables, and what the run means by
// it: the row that it is to become, as the columns' texts, or the way in which
// it is bad. Nothing here knows how Landfall reads documents.
type tableLine struct {
	key  int64
	body []byte
	want map[string]string // by column; one that is not there is NULL
	bad  *badWay           // nil: it is good
}

// lineMaker writes a document, member by member.
type lineMaker struct {
	*rand.Rand
	tableLine
	members []string
	left    map[string]bool // columns that the document is to say nothing of
}

// bigKey is beyond what a float64 can tell apart.
const bigKey = 9007199254740993

// customersCount is how many parents there are, from bigKey on.
const customersCount = 100

// makeLine makes the n-th document of a mode's run. The same seed, mode and
// number make the same one.
func makeLine(seed uint64, mode string, n, lines int) tableLine {
	m := &lineMaker{Rand: rand.New(rand.NewPCG(seed, uint64(n)<<8|uint64(mode[0])))}
	m.want, m.left = map[string]string{}, map[string]bool{}
	m.key = bigKey + int64(n)
	if mode != modeAppend { // a tenth as many keys as documents
		m.key = bigKey + m.Int64N(int64(max(lines/10, 1)))
	}
	if m.IntN(100) == 0 {
		m.bad = &badWays()[m.IntN(len(badWays()))]
		if m.IntN(10) < 7 { // a key that no good one has
			m.key = -2 - int64(n)
		}
	}
	if m.bad != nil {
		m.bad.spoil(m)
	}
	if m.body == nil {
		m.fill()
	}
	return m.tableLine
}

// fill writes all columns that nothing is said of yet, in any order.
func (m *lineMaker) fill() {
	columns := []func(){
		func() { m.number("id", strconv.FormatInt(m.key, 10)) },
		func() { m.text("name", m.words(1+m.IntN(12))) },
		func() { m.maybe("amount", func() { m.number("amount", m.decimal()) }) },
		func() { m.maybe("ratio", func() { m.ratio() }) },
		func() { m.maybe("paid", func() { b := strconv.FormatBool(m.IntN(2) == 0); m.put("paid", b, b) }) },
		func() { m.maybe("at", m.instant) },
		func() { m.day() },
		func() { m.maybe("ref", m.uuid) },
		func() { m.maybe("doc", m.document) },
		func() { m.maybe("tags", m.list) },
		func() { m.maybe("state", func() { m.text("state", []string{"new", "paid", "sent"}[m.IntN(3)]) }) },
		func() { m.maybe("raw", m.bytes) },
		func() { m.maybe("customer", m.customer) },
		func() { m.maybe("shop", func() { m.number("shop", strconv.Itoa(1+m.IntN(10))) }) },
		func() { m.members = append(m.members, `"of no column": [{"id": 1}, null, "\u0000 is proper JSON"]`) },
	}
	m.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	for _, write := range columns {
		write()
	}
	m.body = []byte("{" + strings.Join(m.members, []string{",", ", ", " ,\t"}[m.IntN(3)]) + "}")
}

// put writes a member, unless it was written or left out before.
func (m *lineMaker) put(column, json, text string) {
	if m.left[column] {
		return
	}
	m.left[column] = true
	m.members = append(m.members, strconv.Quote(column)+":"+json)
	m.want[column] = text
}

// maybe leaves one field in ten out, and makes one in ten null.
func (m *lineMaker) maybe(column string, write func()) {
	switch {
	case m.left[column]:
	case m.IntN(10) == 0:
	case m.IntN(10) == 0:
		m.null(column)
	default:
		write()
	}
}

func (m *lineMaker) null(column string) {
	m.put(column, "null", "")
	delete(m.want, column)
}

// number is written as a number or as a string with its digits.
func (m *lineMaker) number(column, digits string) {
	json := digits
	if m.IntN(4) == 0 {
		json = `"` + digits + `"`
	}
	m.put(column, json, digits)
}

func (m *lineMaker) text(column, text string) { m.put(column, m.quote(text), text) }

// decimal has more digits than a float64 holds.
func (m *lineMaker) decimal() string {
	digits := strconv.FormatUint(m.Uint64()|1, 10)
	switch m.IntN(3) {
	case 0:
		return "-" + digits + "." + strconv.FormatUint(m.Uint64()|1, 10)
	case 1:
		return "0." + strings.Repeat("0", m.IntN(20)) + digits
	}
	return digits + strconv.FormatUint(m.Uint64(), 10)
}

// ratio is a number that a float64 is, in its shortest form.
func (m *lineMaker) ratio() {
	f := float64(m.Int64N(1<<40)-1<<39) / 1024
	if m.IntN(3) == 0 {
		f = (1 + m.Float64()) * 1e200
	}
	m.number("ratio", strconv.FormatFloat(f, 'g', -1, 64))
	if text, ok := m.want["ratio"]; ok && !strings.Contains(text, "e+2") {
		m.want["ratio"] = strconv.FormatFloat(f, 'f', -1, 64)
	}
}

// instant is a time in some zone, to the microsecond or beyond it.
func (m *lineMaker) instant() {
	at := time.UnixMicro(m.Int64N(4e15)).UTC()
	text := at.Format("2006-01-02 15:04:05.999999") + "+00"
	in := at.In(time.FixedZone("", 60*(m.IntN(24*60)-12*60)))
	written := in.Format(time.RFC3339Nano)
	if m.IntN(2) == 0 { // what is beyond the microsecond is rounded down
		written = in.Format("2006-01-02T15:04:05.000000") + strconv.Itoa(m.IntN(5)) + in.Format("Z07:00")
	}
	m.put("at", m.quote(written), text)
}

// day has a default.
func (m *lineMaker) day() {
	switch {
	case m.left["day"]:
	case m.IntN(5) == 0:
		m.left["day"], m.want["day"] = true, "2020-02-02"
	case m.IntN(5) == 0:
		m.null("day")
	default:
		m.text("day", time.Unix(m.Int64N(4e9), 0).UTC().Format(time.DateOnly))
	}
}

func (m *lineMaker) uuid() {
	text := fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", m.Uint32(), m.Uint32()>>16, m.Uint32()>>16, m.Uint32()>>16, m.Uint64()>>16)
	written := text
	switch m.IntN(3) {
	case 0:
		written = strings.ToUpper(text)
	case 1:
		written = "{" + text + "}"
	}
	m.put("ref", m.quote(written), text)
}

// customer is a field within an object.
func (m *lineMaker) customer() {
	id := strconv.FormatInt(bigKey+m.Int64N(customersCount), 10)
	m.members = append(m.members, `"buyer": {"name": "id", "who": [{"id": 1}, {"id": `+id+`}], "id": 7}`)
	m.left["customer"], m.want["customer"] = true, id
}

// words is a text with everything that may stand in one.
func (m *lineMaker) words(n int) string {
	const runes = `abcdefgh ABC 0123 "\/'{}[],:;$` + "\n\t\r\b\x01\x7féßΩж漢字🙂\U0010ffff\u2028"
	all := []rune(runes)
	var b strings.Builder
	for range n {
		b.WriteRune(all[m.IntN(len(all))])
	}
	return b.String() + "." // never one of the words that are refused
}

// quote writes a string as JSON, with escapes where they must be and some
// where they may.
func (m *lineMaker) quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '\n' && m.IntN(2) == 0:
			b.WriteString(`\n`)
		case r == '/' && m.IntN(2) == 0:
			b.WriteString(`\/`)
		case (r == '"' || r == '\\') && m.IntN(2) == 0:
			b.WriteString(`\` + string(r))
		case r < ' ' || r == '"' || r == '\\' || m.IntN(10) == 0:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
