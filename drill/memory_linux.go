package drill

import "syscall"

// memoryGiB is how much memory the machine has.
func memoryGiB() int {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 0
	}
	return int((uint64(info.Totalram)*uint64(info.Unit) + 1<<29) >> 30) //nolint:unconvert // 32 bits elsewhere
}
