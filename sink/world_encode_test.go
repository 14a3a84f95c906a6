package sink

import (
	"encoding/binary"
	"fmt"
	"time"

	"landfall/message"
)

// Encode appends the message as a row of numbers and of strings with their
// lengths in front.
func (s store) Encode(dst []byte, m *message.Message) []byte {
	dst = binary.AppendUvarint(dst, m.Seq)
	dst = binary.AppendVarint(dst, m.Time.UnixMicro())
	for _, part := range []string{m.Subject, m.ID(), string(m.Data)} {
		dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
	}
	return dst
}

// decode reads what Encode made.
func decode(rows []byte) (records []record, err error) {
	number := func() uint64 {
		n, size := binary.Uvarint(rows)
		rows = rows[max(size, 0):]
		if size <= 0 {
			err = fmt.Errorf("%w: rows that nothing encoded", errImpossible)
		}
		return n
	}
	text := func() string {
		size := min(number(), uint64(len(rows)))
		part := string(rows[:size])
		rows = rows[size:]
		return part
	}
	for len(rows) > 0 && err == nil {
		r := record{Seq: number()}
		micros, size := binary.Varint(rows)
		rows = rows[max(size, 0):]
		r.Time, r.Subject, r.ID, r.Body = time.UnixMicro(micros), text(), text(), text()
		records = append(records, r)
	}
	return records, err
}

// holds tells whether the row is the message's.
func (r *record) holds(m *message.Message) bool {
	return r.Seq == m.Seq && r.Subject == m.Subject && r.ID == m.ID() && r.Body == string(m.Data) && keyOf(r.Time) == keyOf(m.Time)
}
