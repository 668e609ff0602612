package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// split gives the records of data fed in pieces of the sizes that next gives.
func split(d *Delimited, data []byte, next func() int) ([]string, error) {
	var out []string
	for {
		fields, ok, err := d.Next()
		if err != nil {
			return out, err
		}
		if ok {
			var rec []string
			for _, f := range fields {
				if f.Null {
					rec = append(rec, "NULL")
				} else {
					rec = append(rec, fmt.Sprintf("%q", f.Bytes))
				}
			}
			out = append(out, strings.Join(rec, " "))
			continue
		}
		if len(data) == 0 {
			if d.ended {
				return out, nil
			}
			d.End()
			continue
		}
		n := min(max(next(), 1), len(data))
		d.Write(data[:n])
		data = data[n:]
	}
}

func TestDelimited(t *testing.T) {
	for _, c := range []struct {
		csv  bool
		data string
		want []string
	}{
		{false, "a\tb\n", []string{`"a" "b"`}},
		{false, "\\N\t\\\\N\tx\\ty\n", []string{`NULL "\\N" "x\ty"`}},
		{false, "\\x41\\101\\b\t\n", []string{`"AA\b" ""`}},
		{false, "a\r\nb\n\\.\nc\n", []string{`"a"`, `"b"`}},
		{true, "a,b\nc", []string{`"a" "b"`, `"c"`}},
		{true, `"a,""b""",,""` + "\r\n", []string{`"a,\"b\"" NULL ""`}},
		{true, "\"two\nlines\",x\n\n", []string{`"two\nlines" "x"`, "NULL"}},
		{true, `a"b"c,d` + "\n", []string{`"abc" "d"`}},
	} {
		for _, size := range []int{1, 2, 3, 1000} {
			got, err := split(NewDelimited(c.csv), []byte(c.data), func() int { return size })
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%q by %d: %v %v, want %v", c.data, size, got, err, c.want)
			}
		}
	}
	if _, err := split(NewDelimited(true), []byte("\"open\n"), func() int { return 2 }); err == nil {
		t.Error("an unterminated quote is no error")
	}
}

// TestDelimitedPieces: how the bytes are cut does not matter.
func TestDelimitedPieces(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	letters := []byte("ab,\"\"\n\r\\\tN.")
	for i := range 3000 {
		data := make([]byte, r.IntN(40))
		for k := range data {
			data[k] = letters[r.IntN(len(letters))]
		}
		for _, csv := range []bool{false, true} {
			whole, err1 := split(NewDelimited(csv), data, func() int { return len(data) })
			pieces, err2 := split(NewDelimited(csv), data, func() int { return 1 + r.IntN(4) })
			if fmt.Sprint(whole) != fmt.Sprint(pieces) || (err1 == nil) != (err2 == nil) {
				t.Fatalf("seed %d case %d csv %v %q: %v %v in one piece, %v %v in several", seed, i, csv, data, whole, err1, pieces, err2)
			}
		}
	}
}

// FuzzJSONObject: an object is accepted exactly if encoding/json accepts it, and its strings decode alike.
func FuzzJSONObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[1,{"c":null}],"d":"x\u00e9\n\ud83d\ude00","e":-1.5e+3,"f":true}`, `{"a":01}`, `{"a":1,}`, `{"a" 1}`, `{"a":"\ud800"}`,
		`{"a":[1,2,]}`, `{"a":1 "b":2}`, `[1]`, ` { "k" : false } `, "{\"a\":\"\x01\"}", `{"a":tru}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want map[string]json.RawMessage
		valid := json.Unmarshal(data, &want) == nil && len(bytes.TrimSpace(data)) > 0 && bytes.TrimSpace(data)[0] == '{'
		var o JSONObject
		err := o.Open(data)
		got := map[string]string{}
		for err == nil {
			var key, value []byte
			var kind JSONKind
			var ok bool
			if key, kind, value, ok, err = o.Next(); err != nil || !ok {
				break
			}
			if kind == JSONString {
				got[string(key)] = string(value)
			} else {
				delete(got, string(key))
			}
		}
		if err == nil != valid {
			// Lone surrogates, NUL and bytes that are not UTF-8 cannot be text here; nesting is limited.
			if err != nil && (bytes.Contains(data, []byte(`\u`)) || !json.Valid(bytes.ToValidUTF8(data, nil)) || bytes.ContainsFunc(data, func(r rune) bool { return r == 0xFFFD }) || bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxJSONDepth) {
				return
			}
			t.Fatalf("%q: %v, encoding/json says valid=%v", data, err, valid)
		}
		if !valid {
			return
		}
		for k, v := range got {
			var s string
			if json.Unmarshal(want[k], &s) == nil && s != v {
				t.Fatalf("%q: member %q is %q, want %q", data, k, v, s)
			}
		}
	})
}
