package types

import "fmt"

// evalFormat computes the to_char family.
func evalFormat(env *Env, c []string) (string, error) {
	switch c[0] {
	case "char_ts":
		ts, err := ParseTimestamp(env, c[1], -1)
		if err != nil {
			return "", err
		}
		return ToCharTimestamp(ts, c[2])
	case "char_tz":
		ts, err := ParseTimestamptz(env, c[1], -1)
		if err != nil {
			return "", err
		}
		return ToCharTimestamptz(ts, env.Zone, c[2])
	case "char_iv":
		s, err := ParseInterval(c[1], -1)
		if err != nil {
			return "", err
		}
		return ToCharInterval(s, c[2])
	case "char_num":
		d, err := ParseNumeric(c[1])
		if err != nil {
			return "", err
		}
		return ToCharNumeric(d, c[2])
	case "to_ts":
		ts, err := ToTimestamp(env, c[1], c[2])
		return string(AppendTimestamptz(nil, env, ts)), err
	case "to_date":
		d, err := ToDate(c[1], c[2])
		return string(AppendDate(nil, env, d)), err
	case "to_num":
		d, err := ToNumber(c[1], c[2])
		return d.String(), err
	}
	return "", fmt.Errorf("operation %s", c[0])
}
