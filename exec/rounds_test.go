package exec

// rounds gives how often a random test repeats: less under the race detector, which looks for
// something else than the values that the repetitions vary.
func rounds(n int) int {
	if underRace {
		return max(n/8, 2)
	}
	return n
}
