//go:build race

package exec

// underRace says that the race detector watches, which makes everything several times slower.
const underRace = true
