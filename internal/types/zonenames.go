package types

import (
	"os"
	"strings"
)

// ZoneNames gives the IANA names known, in no order.
func ZoneNames() []string {
	out := make([]string, 0, len(zoneNames()))
	for _, n := range zoneNames() {
		out = append(out, n)
	}
	return out
}
