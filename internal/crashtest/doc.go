// Package crashtest drives the real server to its end: it kills it, over and over, and checks that nothing is lost and nothing counts twice; and it
// sends statements that want gigabytes, and checks that the server refuses or answers them, stays within its memory and goes on with its other clients.
//
// A cycle starts the server on the same data directory, checks what must be there, lets clients write, files grow and definitions change, and
// ends the process: by SIGKILL at a random moment, at a named point of internal/crash, or in order. What clients were told is
// remembered here: what was acknowledged must be there, what was not may be there or not, but never in part.
//
//	go test ./internal/crashtest                          the cycles of the normal test run
//	make soak-crash                                       1,000 cycles
//	go test ./internal/crashtest -crash.seed N -v         a run again (as far as time allows)
//	make soak-memory                                      every hostile statement, in memory and with a data directory
package crashtest
