package drill

// judgeOrder holds each publisher's acknowledged messages against the order in
// which Postgres has them: by incarnation, then by sequence. What was
// acknowledged before another message was sent for the first time has to come
// before it; the lines of one batch are acknowledged together, and nothing is
// promised of their order.
//
// What is compared is where Postgres has a message, also of one that was
// acknowledged as a duplicate. That is its first copy, which is there before
// any acknowledgement of it; and no copy of the next message is there before
// that was sent.
func (a *audit) judgeOrder() {
	list := a.promises.list
	for n, b := range a.promises.books {
		end := len(list)
		if n+1 < len(a.promises.books) {
			end = a.promises.books[n+1].first
		}
		a.judgeBook(b.first, end)
	}
}

// judgeBook is judgeOrder for one publisher's messages. Streams know no order
// between them.
func (a *audit) judgeBook(from, to int) {
	if from == to {
		return
	}
	var streams []uint32
	for i := from; i < to; i++ {
		if p := &a.promises.list[i]; p.placed() && (len(streams) == 0 || streams[len(streams)-1] != p.stream) {
			streams = appendNew(streams, p.stream)
		}
	}
	for _, stream := range streams {
		a.judgeStream(from, to, stream)
	}
}

func (a *audit) judgeStream(from, to int, stream uint32) {
	list := a.promises.list
	last := make([]int, a.lastTurn(from, to)+1) // by turn, plus 1: the message furthest back that was acknowledged in it
	for i := from; i < to; i++ {
		if p := &list[i]; p.placed() && p.stream == stream {
			if best := &last[p.toldIn]; *best == 0 || list[*best-1].place < p.place {
				*best = i + 1
			}
		}
	}
	for turn := 1; turn < len(last); turn++ { // or in any before it
		if before := last[turn-1]; before > 0 && (last[turn] == 0 || list[last[turn]-1].place < list[before-1].place) {
			last[turn] = before
		}
	}
	for i := from; i < to; i++ {
		p := &list[i]
		if !p.placed() || p.stream != stream || p.turn == 0 || last[p.turn-1] == 0 {
			continue
		}
		before := last[p.turn-1] - 1
		if list[before].place < p.place {
			continue
		}
		a.v.Disordered++
		if a.v.room(kindDisordered) {
			first, second := a.promises.entry(before), a.promises.entry(i)
			a.v.find(kindDisordered, "%s was acknowledged before %s was sent by the same publisher, and is behind it: %s and %s",
				first.ID, second.ID, a.accounts.describe(list[before].place), a.accounts.describe(p.place))
		}
	}
}

// placed tells whether there is something to compare.
func (p *promise) placed() bool { return p.outcome == Acked && p.place != 0 }

func (a *audit) lastTurn(from, to int) int {
	last := 0
	for i := from; i < to; i++ {
		last = max(last, int(a.promises.list[i].toldIn), int(a.promises.list[i].turn))
	}
	return last
}

func appendNew(list []uint32, n uint32) []uint32 {
	for _, one := range list {
		if one == n {
			return list
		}
	}
	return append(list, n)
}
