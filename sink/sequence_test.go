package sink

import (
	"errors"
	"testing"
)

func TestDue(t *testing.T) {
	tests := map[string]struct {
		next, seq uint64
		accept    bool
		missing   uint64 // 0: no hole
	}{
		"the first":              {1, 1, true, 0},
		"the next":               {42, 42, true, 0},
		"a redelivery":           {42, 41, false, 0},
		"an old redelivery":      {42, 1, false, 0},
		"one is missing":         {42, 43, false, 42},
		"many are missing":       {1, 1 << 40, false, 1},
		"beyond signed range":    {1 << 63, 1 << 63, true, 0},
		"redelivery in vastness": {1<<63 + 1, 1 << 63, false, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			accept, err := due(tt.next, tt.seq)
			if accept != tt.accept {
				t.Errorf("accept %v, want %v", accept, tt.accept)
			}
			var hole *holeError
			if errors.As(err, &hole) != (tt.missing > 0) {
				t.Fatalf("error %v, want a hole: %v", err, tt.missing > 0)
			}
			if hole != nil && (hole.missing != tt.missing || hole.came != tt.seq) {
				t.Errorf("hole %+v, want %d missing and %d come", hole, tt.missing, tt.seq)
			}
		})
	}
}
