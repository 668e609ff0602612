package fn

import (
	"unsafe"

	"streamsql/internal/types"
)

// jsonbOffset gives where PostgreSQL's binary form of jsonb would hold part, the text of a container inside doc:
// jsonpath's keyvalue() numbers objects so. It is 0 for the document itself and for what is not part of it.
func jsonbOffset(doc, part []byte) int {
	if len(doc) == 0 || len(part) == 0 {
		return 0
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(doc)))
	if at >= uintptr(len(doc)) || at == 0 {
		return 0
	}
	_, found := jsonbSize(doc, 0, unsafe.SliceData(part))
	return max(found, 0)
}

// jsonbSize gives the length of the binary form of a value that begins at offset at, and where the container that begins
// at target is inside it (-1: it is not).
func jsonbSize(v []byte, at int, target *byte) (size, found int) {
	found = -1
	pad := (4 - at%4) % 4
	switch types.JSONTypeof(v) {
	case "string":
		s, _ := types.JSONText(v)
		return len(s), -1
	case "number":
		n, err := types.ParseNumeric(string(v))
		if err != nil {
			return 0, -1
		}
		return pad + numericDiskSize(n), -1
	case "array", "object":
	default:
		return 0, -1
	}
	begin := at + pad
	if unsafe.SliceData(v) == target {
		found = begin
	}
	var keys [][]byte
	var vals [][]byte
	types.JSONElements(v, func(_ int, x []byte) bool { vals = append(vals, x); return true })
	types.JSONEach(v, func(k string, x []byte) bool {
		keys, vals = append(keys, []byte(k)), append(vals, x)
		return true
	})
	end := begin + 4 + 4*(len(keys)+len(vals))
	for _, k := range keys {
		end += len(k)
	}
	for _, x := range vals {
		n, in := jsonbSize(x, end, target)
		if end += n; in >= 0 {
			found = in
		}
	}
	return end - at, found
}

// numericDiskSize gives the length of PostgreSQL's numeric with its header.
func numericDiskSize(n types.Decimal) int {
	c, scale := n.Big()
	if c.Sign() == 0 {
		return 4 + 2
	}
	digits := c.Text(10)
	if digits[0] == '-' {
		digits = digits[1:]
	}
	// Groups of four digits counted from the point; groups of zeros at both ends are left out.
	for range (4 - scale%4) % 4 {
		digits += "0"
	}
	for len(digits)%4 != 0 {
		digits = "0" + digits
	}
	groups := len(digits) / 4
	for groups > 0 && digits[len(digits)-4:] == "0000" {
		digits = digits[:len(digits)-4]
		groups--
	}
	return 4 + 2 + 2*groups
}
