package model

import (
	"testing"

	"cosfuse/test/internal/treemodel"
)

// TestLists runs lists that once failed.
//
// Long: it is one table of lists.
func TestLists(t *testing.T) {
	tests := []struct{ name, config, ops string }{
		{"a HEAD of a name newer than the listing does not hide it", "close", `
			{"op":"look"}
			{"op":"append","path":"a","len":3,"mode":420}
			{"op":"look"}
			{"op":"look"}`},
		{"a removed directory can be synced", "close", `
			{"op":"mkdir","path":"b","mode":448}
			{"op":"open","path":"b","mode":256}
			{"op":"rmdir","path":"b"}
			{"op":"fsync"}`},
		{"an unlinked open file can be cut", "close", `
			{"op":"open","path":"a","flags":66,"mode":384}
			{"op":"unlink","path":"a"}
			{"op":"ftruncate","len":3}`},
		{"a truncation is acknowledged", "background", `
			{"op":"append","path":"b","len":3,"mode":420}
			{"op":"truncate","path":"b"}
			{"op":"kill"}`},
		{"a throttled commit can read its base", "close", `
			{"op":"put","path":"b","len":5000}
			{"op":"remount"}
			{"op":"patch","path":"b","len":3,"off":6000,"fault":{"op":"PutObject","what":"fail","status":503}}`},
		{"a deletion that waits hides the name", "close-shared", `
			{"op":"put","path":"a","len":3,"mode":420}
			{"op":"put","path":"c","len":3,"mode":420}
			{"op":"unlink","path":"a"}
			{"op":"unlink","path":"c"}
			{"op":"stat","path":"c"}
			{"op":"stat","path":"c"}`},
		{"a name stays unlinked while the file is open", "close", `
			{"op":"put","path":"a","len":3,"mode":420}
			{"op":"remount"}
			{"op":"open","path":"a"}
			{"op":"unlink","path":"a"}
			{"op":"age"}
			{"op":"mkdir","path":"b","mode":493}
			{"op":"rename","path":"a","to":"c"}
			{"op":"look"}`},
		{"an uncommitted file renamed twice leaves nothing behind", "background", `
			{"op":"put","path":"a","len":3,"mode":420}
			{"op":"sync"}
			{"op":"open","path":"b","flags":66,"mode":420}
			{"op":"rename","path":"b","to":"a"}
			{"op":"rename","path":"a","to":"c"}
			{"op":"look"}`},
		{"a replaced file is not forgotten before its successor is safe", "background-killed", `
			{"op":"append","path":"b","len":3,"mode":420}
			{"op":"open","path":"c","flags":1089,"mode":420}
			{"op":"rename","path":"c","to":"b"}
			{"op":"kill"}`},
		{"the mode of a directory outlasts its marker's arrival", "close", `
			{"op":"mkdir","path":"c","mode":448}
			{"op":"readdir","path":"c"}
			{"op":"sync"}
			{"op":"look"}
			{"op":"look"}`},
		{"a directory renamed over an empty one keeps its own attributes", "background-killed", `
			{"op":"mkdir","path":"b","mode":320}
			{"op":"mkdir","path":"c","mode":484}
			{"op":"kill"}
			{"op":"chmod","path":"b","mode":448}
			{"op":"rename","path":"c","to":"b"}`},
		{"a directory renamed with a mode on its way leaves nothing behind", "close", `
			{"op":"mkdir","path":"c","mode":320}
			{"op":"remount"}
			{"op":"chmod","path":"c","mode":448}
			{"op":"rename","path":"c","to":"b"}
			{"op":"look"}
			{"op":"kill"}`},
		{"a directory that others renamed is not kept by its names", "close-shared", `
			{"op":"mkdir","path":"a","mode":493}
			{"op":"put","path":"a/a","mode":420}
			{"op":"switch"}
			{"op":"rename","path":"a","to":"b"}
			{"op":"switch"}`},
		{"a name that others removed is free", "close-shared", `
			{"op":"mkdir","path":"c","mode":448}
			{"op":"rename","path":"c","to":"b"}
			{"op":"switch"}
			{"op":"rmdir","path":"b"}
			{"op":"switch"}
			{"op":"mkdir","path":"b","mode":448}
			{"op":"switch"}`},
		{"a directory removed with others stays removed", "close-killed", `
			{"op":"mkdir","path":"a","mode":484}
			{"op":"put","path":"c","len":3,"mode":384}
			{"op":"kill"}
			{"op":"unlink","path":"c"}
			{"op":"rmdir","path":"a"}
			{"op":"kill"}`},
		{"a directory that was renamed is not seen for a deleted file", "close", `
			{"op":"readdir","path":"b"}
			{"op":"mkdir","path":"b","mode":493}
			{"op":"put","path":"b/c","len":30,"mode":420}
			{"op":"look"}
			{"op":"open","path":"b/c"}
			{"op":"unlink","path":"b/c"}
			{"op":"rename","path":"b","to":"a"}
			{"op":"stat","path":"b"}
			{"op":"look"}
			{"op":"age"}
			{"op":"stat","path":"b"}
			{"op":"look"}
			{"op":"mkdir","path":"b","mode":493}
			{"op":"look"}
			{"op":"rmdir","path":"b"}
			{"op":"look"}
			{"op":"close"}
			{"op":"stat","path":"b"}`},
	}
	all := map[string]treemodel.Config{}
	for _, c := range configs() {
		all[c.Name] = c
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ops, err := treemodel.ReadOps(tt.ops)
			if err != nil {
				t.Fatal(err)
			}
			if err := treemodel.NewWorld(t, all[tt.config]).Run(ops); err != nil {
				t.Error(err)
			}
		})
	}
}
