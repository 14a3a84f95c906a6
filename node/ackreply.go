package node

// parseAckReply reads a delivered message's stream sequence and timestamp (in
// nanoseconds) from its reply subject. There are two forms:
//
//	$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQ.CONSUMERSEQ.TIME.PENDING
//	$JS.ACK.DOMAIN.ACCOUNT.STREAM.CONSUMER.DELIVERED.SEQ.CONSUMERSEQ.TIME.PENDING[.MORE]
//
// ok is false for anything else, a status message for one. It is called for
// every message, so it allocates nothing.
func parseAckReply(reply string) (seq uint64, nanos int64, ok bool) {
	const prefix = "$JS.ACK."
	if len(reply) < len(prefix) || reply[:len(prefix)] != prefix {
		return 0, 0, false
	}
	var starts [13]int // where each token starts; tokens beyond do not matter
	tokens := 1
	for i := 0; i < len(reply); i++ {
		if reply[i] == '.' {
			if tokens < len(starts) {
				starts[tokens] = i + 1
			}
			tokens++
		}
	}
	first := 5 // token of SEQ
	switch {
	case tokens == 9:
	case tokens >= 11:
		first = 7
	default:
		return 0, 0, false
	}
	seq, ok = parseNumber(reply[starts[first] : starts[first+1]-1])
	if !ok || seq == 0 {
		return 0, 0, false
	}
	at, ok := parseNumber(reply[starts[first+2] : starts[first+3]-1])
	if !ok || at > 1<<63-1 {
		return 0, 0, false
	}
	return seq, int64(at), true
}

// parseNumber reads decimal digits, and nothing else.
func parseNumber(s string) (n uint64, ok bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		d := uint64(s[i] - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
