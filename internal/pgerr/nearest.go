package pgerr

// Nearest gives the candidate that differs least from name, for a hint; "" if none is near: at most two letters
// differ, one in short names. Of equally near ones the first in the alphabet is taken.
func Nearest(name string, candidates []string) string {
	best, limit := "", 3
	if len(name) < 5 {
		limit = 2
	}
	for _, c := range candidates {
		if d := EditDistance(name, c); d < limit || d == limit && best != "" && c < best {
			best, limit = c, d
		}
	}
	return best
}

// EditDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b, in bytes.
// Names of more than 64 bytes are as far from others as can be.
func EditDistance(a, b string) int {
	const most = 64
	if len(a) > most || len(b) > most {
		return most
	}
	var rows [3][most + 1]int
	prev2, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range b {
		prev[j+1] = j + 1
	}
	for i := 0; i < len(a); i++ {
		cur[0] = i + 1
		for j := 0; j < len(b); j++ {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d := min(prev[j]+cost, prev[j+1]+1, cur[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, prev2[j-1]+1)
			}
			cur[j+1] = d
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
