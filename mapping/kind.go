package mapping

// Kind is how a JSON value becomes the text of a column. It follows from the
// column's type, by pg_type.
type Kind uint8

// The kinds of columns. JSON null is NULL for each of them.
const (
	// Scalar is any type that has no kind of its own: a string's content, a
	// number's digits, true or false. Objects and arrays are refused.
	Scalar Kind = iota

	// Text is text, varchar, char and citext: as Scalar, and an object or array
	// is its JSON text.
	Text

	// JSON is json and jsonb: the value's own JSON text, as the document has
	// it. \u0000 in it is refused for both, though json could hold it.
	JSON

	// Bytes is bytea: a string of base64, of the standard or the URL alphabet,
	// padded or not. It becomes Postgres' hex form.
	Bytes

	// Time is date, time, timetz, timestamp and timestamptz: strings only. Words
	// that mean another time when the message is stored again (now, today) are
	// refused, and so are those that hide which time they mean (epoch,
	// allballs). infinity is fine.
	Time
)

const array Kind = 0x80

// ArrayOf is an array of k: a JSON array, or nested ones of one shape. A
// string is taken as the array's literal. An array of JSON has one dimension:
// arrays in it are its elements.
func ArrayOf(k Kind) Kind { return k | array }

func (k Kind) isArray() bool { return k&array != 0 }
func (k Kind) elem() Kind    { return k &^ array }

// due names what the column wants.
func (c *Column) due() string {
	var what string
	switch k := c.Kind; {
	case k.isArray():
		what = "an array"
	case k == Bytes:
		what = "base64 in a string"
	case k == Time:
		what = "a time in a string"
	default:
		what = "a single value"
	}
	switch {
	case c.Type == "":
		return what
	case c.Kind == Bytes, c.Kind == Time:
		return c.Type + " (" + what + ")"
	}
	return c.Type
}
