package model

import "testing"

// TestLists runs lists that once failed.
func TestLists(t *testing.T) {
	tests := []struct{ name, config, ops string }{
		{"a HEAD of a name newer than the listing does not hide it", "close", `
			{"op":"look"}
			{"op":"append","path":"a","len":3,"mode":420}
			{"op":"look"}
			{"op":"look"}`},
		{"an unlinked open file can be cut", "close", `
			{"op":"open","path":"a","flags":66,"mode":384}
			{"op":"unlink","path":"a"}
			{"op":"ftruncate","len":3}`},
		{"a truncation is acknowledged", "background", `
			{"op":"append","path":"b","len":3,"mode":420}
			{"op":"truncate","path":"b"}
			{"op":"kill"}`},
	}
	all := map[string]config{}
	for _, c := range configs() {
		all[c.name] = c
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ops, err := readOps(tt.ops)
			if err != nil {
				t.Fatal(err)
			}
			if err := newWorld(t, all[tt.config]).run(ops); err != nil {
				t.Error(err)
			}
		})
	}
}
