package drill

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	removeProgram()
}

// removeProgram removes the binary under test, if a test built it.
func removeProgram() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), programPrefix(os.Getpid())+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		_ = os.RemoveAll(dir) // the next run of the tests has its own
	}
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
