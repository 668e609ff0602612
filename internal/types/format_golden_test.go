package types

import "fmt"

// evalFormat computes the to_char family.
func evalFormat(env *Env, c []string) (string, error) {
	return "", fmt.Errorf("operation %s", c[0])
}
