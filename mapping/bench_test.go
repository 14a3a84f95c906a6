package mapping

import (
	"fmt"
	"testing"
	"time"
)

// A document of 12 fields and about 500 bytes, of which every column takes one.
func BenchmarkRow(b *testing.B) {
	const body = `{"id":"0198c7a2-7f3c-7d55-9b1e-2f6f0a4f9a01","number":9007199254740993,"price":"1234.50",` +
		`"paid":true,"placed_at":"2026-03-01T12:00:00.123456Z","status":"shipped",` +
		`"customer":{"id":"c-102938","name":"J\u00fcrgen M\u00fcller","city":"K\u00f6ln"},` +
		`"tags":["blue","new","gift"],"note":"please ring twice, and leave it with the neighbours if nobody opens",` +
		`"photo":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk","weight":0.731,` +
		`"details":{"colour":"blue","size":"XL","parts":[1,2,3,4]},"lang":"de"}`
	m := newMapping(b,
		column(b, "id", "$.id", Scalar), column(b, "number", "$.number", Scalar), column(b, "price", "$.price", Scalar),
		column(b, "paid", "$.paid", Scalar), column(b, "placed_at", "$.placed_at", Time), column(b, "status", "$.status", Scalar),
		column(b, "customer", "$.customer.id", Text), column(b, "name", "$.customer.name", Text), column(b, "tags", "$.tags", ArrayOf(Text)),
		column(b, "note", "$.note", Text), column(b, "photo", "$.photo", Bytes), column(b, "details", "$.details", JSON))
	msg := Message{Seq: 1, Subject: "orders.eu", Published: time.Unix(0, 0), Body: []byte(body)}
	var row []Value
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if row, err = m.Row(row[:0], msg); err != nil || len(row) != 12 {
			b.Fatal(err)
		}
	}
}

// The least an event needs: envelope columns do not touch the body.
func BenchmarkRowEnvelope(b *testing.B) {
	m := newMapping(b, column(b, "seq", "message.seq", Scalar), column(b, "region", "subject[2]", Text),
		column(b, "at", "message.published_at", Time))
	msg := Message{Seq: 1, Subject: "orders.eu", Published: time.Unix(0, 0), Body: []byte(fmt.Sprint(1))}
	var row []Value
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if row, err = m.Row(row[:0], msg); err != nil {
			b.Fatal(err)
		}
	}
}
