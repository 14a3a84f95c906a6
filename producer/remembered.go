package producer

import (
	"fmt"
	"hash/maphash"
	"slices"
)

// recognising items are those that know their messages' ids again.
type recognising interface {
	items
	number(id string) (n uint64, ok bool)
}

// maxRemembered is how many events a batch may have if it waits for Postgres:
// their ids tell which dead letters are the batch's, and are kept until then.
const maxRemembered = 100_000

// remembered are items whose ids say nothing about their numbers, which run
// from 1 without a gap. It keeps a hash of each id: enough to find a message
// of this batch again among those that were refused by Postgres.
type remembered struct {
	items
	seed    maphash.Seed
	hashes  []uint64          // by number; 0 for an item that is none
	numbers map[uint64]uint64 // by hash; nil until the first is looked for
}

func remember(in items) *remembered {
	return &remembered{items: in, seed: maphash.MakeSeed()}
}

func (k *remembered) next() (item, error) {
	it, err := k.items.next()
	if err != nil {
		return it, err
	}
	if len(k.hashes) == maxRemembered {
		return item{}, fmt.Errorf("%w: with ack=stored a batch may have %d events", errBatchTooLarge, maxRemembered)
	}
	var sum uint64
	if it.m != nil {
		sum = maphash.String(k.seed, it.m.id)
	}
	k.hashes = append(k.hashes, sum)
	return it, nil
}

// number is that of the first item with the id.
func (k *remembered) number(id string) (uint64, bool) {
	if k.numbers == nil {
		k.numbers = make(map[uint64]uint64, len(k.hashes))
		for i, sum := range slices.Backward(k.hashes) {
			k.numbers[sum] = uint64(i + 1)
		}
	}
	n, ok := k.numbers[maphash.String(k.seed, id)]
	return n, ok
}
