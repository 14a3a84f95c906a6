package drill

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"landfall/pgserver/pgtest"
)

// parentRole turns the test binary into a process that starts a child of ours
// and waits for its own end: see TestAChildDiesWithItsParent.
const parentRole = "LANDFALL_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentRole) != "" {
		beParent()
		return
	}
	pgtest.Main(m)
}

func beParent() {
	c, err := startChild(exec.Command("sleep", "300"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.process.Pid)
	<-c.ended
}
