package vary

import "testing"

// A seed draws the same again, and other seeds draw others: each value of each constant comes.
func TestDraw(t *testing.T) {
	seen := map[Constants]bool{}
	batches, spills, checkpoints := map[int]bool{}, map[int64]bool{}, map[Checkpoints]bool{}
	for seed := range uint64(200) {
		c := *draw(seed)
		if again := *draw(seed); again != c {
			t.Fatalf("seed %d draws %+v, and then %+v", seed, c, again)
		}
		seen[c], batches[c.BatchRows], spills[c.SpillAt], checkpoints[c.Checkpoints] = true, true, true, true
	}
	if len(seen) != 200 || len(batches) != 4 || len(spills) != 3 || len(checkpoints) != 3 {
		t.Errorf("%d draws, %d sizes of batches, %d of spilling, %d of checkpoints", len(seen), len(batches), len(spills), len(checkpoints))
	}
}
