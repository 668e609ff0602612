package types

import (
	"net/netip"
	"strconv"
	"strings"
)

// parseInet normalises an address with an optional prefix length; a full prefix is left out.
func parseInet(s string) (string, error) {
	t := strings.Trim(s, spaces)
	host, bits, has := strings.Cut(t, "/")
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" {
		return "", errSyntax("inet", s)
	}
	if !has {
		return a.String(), nil
	}
	n, err := strconv.Atoi(bits)
	if err != nil || n < 0 || n > a.BitLen() || bits[0] == '+' {
		return "", errSyntax("inet", s)
	}
	if n == a.BitLen() {
		return a.String(), nil
	}
	return a.String() + "/" + strconv.Itoa(n), nil
}

func inetOf(b []byte) (a netip.Addr, bits int) {
	host, n, has := strings.Cut(stringOf(b), "/")
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, 0
	}
	bits = a.BitLen()
	if has {
		bits, _ = strconv.Atoi(n)
	}
	return a, bits
}

// compareInet orders as network_cmp: family, the common network bits, the prefix length, then the whole address.
func compareInet(x, y []byte) int {
	a, an := inetOf(x)
	b, bn := inetOf(y)
	if a.BitLen() != b.BitLen() {
		return sign(a.BitLen() - b.BitLen())
	}
	n := min(an, bn)
	pa, err1 := a.Prefix(n)
	pb, err2 := b.Prefix(n)
	if err1 == nil && err2 == nil {
		if c := pa.Addr().Compare(pb.Addr()); c != 0 {
			return c
		}
	}
	if an != bn {
		return sign(an - bn)
	}
	return a.Compare(b)
}

func appendInetBinary(dst, b []byte) []byte {
	a, n := inetOf(b)
	family := byte(2)
	if a.Is6() {
		family = 3
	}
	s := a.AsSlice()
	return append(append(dst, family, byte(n), 0, byte(len(s))), s...)
}

func decodeInet(b []byte) (string, bool) {
	if len(b) < 4 || int(b[3]) != len(b)-4 {
		return "", false
	}
	a, ok := netip.AddrFromSlice(b[4:])
	if !ok || int(b[1]) > a.BitLen() {
		return "", false
	}
	if int(b[1]) == a.BitLen() {
		return a.String(), true
	}
	return a.String() + "/" + strconv.Itoa(int(b[1])), true
}
