package drill

import (
	"testing"
	"time"
)

// Tables of the user's own hold what they should, also where the node that
// stores is killed and Postgres is. The lane tables does it with more of all.
func TestTables(t *testing.T) {
	t.Parallel()
	proof := tablesProof{lines: 1700, kills: 1, restarts: 1, within: time.Minute}
	proof.run(t)
}
