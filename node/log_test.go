package node

import "testing"

func TestChatter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Waiting for routing to be established...":                                                          true,
		"Filestore [S-R3F-c6RBCZ3h] Stream state outdated, last block has additional entries, will rebuild": true,
		"Filestore [MESSAGES] Recovering stream state from index errored: prior state file":                 true,
		"Filestore [MESSAGES] Recovering stream state from index errored: open index.db: permission denied": false,
		"JetStream cluster stream '$G > MESSAGES' has NO quorum, stalled":                                   false,
		"Filestore [Stream state outdated":                                                                  false,
	} {
		if got := isChatter(text); got != want {
			t.Errorf("%s: chatter %v, want %v", text, got, want)
		}
	}
}
