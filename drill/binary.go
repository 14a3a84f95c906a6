package drill

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Self is the path of the running program: `app demo` runs its nodes from it.
// The program that is shown is the program that shows.
func Self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return path, nil
}

// BuildBinary builds the program into a directory and returns its path: for
// tests, whose own executable is the test. It is called once in a test
// process; the working directory must lie inside the module.
func BuildBinary(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "app")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "landfall")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return path, nil
}
