package clienttest

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal gives the two ends of a terminal that echoes nothing: psql goes on after Ctrl-C only if a person types
// its input.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("skipped: no terminals: %v", err)
	}
	ioctl := func(f *os.File, request uintptr, p unsafe.Pointer) {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(p)); e != 0 {
			t.Fatalf("ioctl: %v", e)
		}
	}
	var unlocked, n int32
	ioctl(master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked))
	ioctl(master, syscall.TIOCGPTN, unsafe.Pointer(&n))
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	var mode syscall.Termios
	ioctl(slave, syscall.TCGETS, unsafe.Pointer(&mode))
	mode.Lflag &^= syscall.ECHO
	mode.Oflag &^= syscall.OPOST
	ioctl(slave, syscall.TCSETS, unsafe.Pointer(&mode))
	return master, slave
}
