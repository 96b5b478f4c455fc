package crash

import "cosfuse/test/internal/treemodel"

// workload is a list of operations that passes some failpoints.
type workload struct {
	name string
	ops  string
}

// mib is what the numbers below are made of: parts are sent from a size of 1 MiB on, and copied from 5 MiB on.
var workloads = []workload{
	{"create", `
		{"op":"mkdir","path":"a","mode":493}
		{"op":"put","path":"a/a","len":4000,"mode":420,"seed":1}
		{"op":"put","path":"a/a","len":5000,"mode":420,"seed":2}
		{"op":"put","path":"b","len":90000,"mode":384,"seed":3}
		{"op":"symlink","path":"c","to":"no/where"}
		{"op":"sync"}`},
	{"write", `
		{"op":"open","path":"a","flags":66,"mode":420}
		{"op":"write","len":3000,"seed":1}
		{"op":"fsync"}
		{"op":"write","off":1000,"len":3000,"seed":2}
		{"op":"ftruncate","len":2000}
		{"op":"open","path":"a","slot":1,"flags":2}
		{"op":"write","slot":1,"off":7000,"len":80000,"seed":3}
		{"op":"close"}
		{"op":"truncate","path":"a","len":50}
		{"op":"close","slot":1}
		{"op":"sync"}`},
	{"parts", `
		{"op":"put","path":"a","len":9000000,"mode":420,"seed":1}
		{"op":"sync"}
		{"op":"patch","path":"a","off":7000000,"len":1000,"seed":2}
		{"op":"append","path":"a","len":2000,"seed":3}
		{"op":"sync"}`},
	{"append", `
		{"op":"append","path":"a","len":1000,"mode":420,"seed":1}
		{"op":"append","path":"a","len":1000,"seed":2}
		{"op":"fsync"}
		{"op":"sync"}
		{"op":"append","path":"a","len":70000,"seed":3}
		{"op":"sync"}
		{"op":"open","path":"a","flags":1025}
		{"op":"write","len":500,"seed":4}
		{"op":"remoteappend","path":"a","len":300,"seed":5}
		{"op":"close"}
		{"op":"sync"}`},
	{"copy", `
		{"op":"put","path":"a","len":1000,"mode":420,"seed":1}
		{"op":"put","path":"b","len":6000000,"mode":420,"seed":2}
		{"op":"sync"}
		{"op":"copy","path":"a","to":"c","mode":384}
		{"op":"unlink","path":"a"}
		{"op":"copy","path":"c","to":"a","mode":420}
		{"op":"copy","path":"b","to":"c","mode":420}
		{"op":"open","path":"a","flags":2}
		{"op":"splice","path":"b","off":100,"len":5500000}
		{"op":"fsync"}
		{"op":"splice","path":"c","off":300000,"len":5400000}
		{"op":"rename","path":"c","to":"b"}
		{"op":"close"}
		{"op":"copy","path":"b","to":"c","mode":420}
		{"op":"patch","path":"b","off":50,"len":1000,"seed":3}
		{"op":"sync"}`},
	{"rename", `
		{"op":"put","path":"a","len":1000,"mode":420,"seed":1}
		{"op":"rename","path":"a","to":"b"}
		{"op":"sync"}
		{"op":"put","path":"a","len":2000,"mode":420,"seed":2}
		{"op":"rename","path":"a","to":"b"}
		{"op":"sync"}
		{"op":"rename","path":"b","to":"c"}
		{"op":"open","path":"a","flags":66,"mode":420}
		{"op":"write","len":100,"seed":3}
		{"op":"rename","path":"a","to":"c"}
		{"op":"close"}
		{"op":"sync"}`},
	{"rename changed", `
		{"op":"put","path":"a","len":1000,"mode":420,"seed":1}
		{"op":"append","path":"b","len":1000,"mode":420,"seed":2}
		{"op":"sync"}
		{"op":"patch","path":"a","off":500,"len":1000,"seed":3}
		{"op":"rename","path":"a","to":"c"}
		{"op":"append","path":"b","len":500,"seed":4}
		{"op":"rename","path":"b","to":"c"}
		{"op":"sync"}`},
	{"rename directory", `
		{"op":"mkdir","path":"a","mode":493}
		{"op":"mkdir","path":"a/b","mode":448}
		{"op":"put","path":"a/a","len":1000,"mode":420,"seed":1}
		{"op":"put","path":"a/b/a","len":2000,"mode":420,"seed":2}
		{"op":"sync"}
		{"op":"put","path":"a/c","len":3000,"mode":420,"seed":3}
		{"op":"chmod","path":"a/a","mode":384}
		{"op":"rename","path":"a","to":"c"}
		{"op":"put","path":"c/a","len":10,"seed":4}
		{"op":"sync"}`},
	{"replace directory", `
		{"op":"mkdir","path":"a","mode":493}
		{"op":"mkdir","path":"b","mode":448}
		{"op":"rename","path":"a","to":"b"}
		{"op":"sync"}
		{"op":"mkdir","path":"a","mode":320}
		{"op":"put","path":"a/a","len":1000,"mode":420,"seed":1}
		{"op":"rename","path":"a","to":"b"}
		{"op":"mkdir","path":"c","mode":484}
		{"op":"sync"}
		{"op":"mkdir","path":"a","mode":493}
		{"op":"sync"}
		{"op":"chmod","path":"c","mode":320}
		{"op":"rename","path":"a","to":"c"}
		{"op":"mkdir","path":"a","mode":320}
		{"op":"sync"}
		{"op":"chmod","path":"a","mode":448}
		{"op":"rename","path":"a","to":"c"}
		{"op":"sync"}`},
	{"delete", `
		{"op":"mkdir","path":"a","mode":493}
		{"op":"put","path":"a/a","len":10,"mode":420,"seed":1}
		{"op":"put","path":"a/b","len":20,"mode":420,"seed":2}
		{"op":"put","path":"a/c","len":30,"mode":420,"seed":3}
		{"op":"put","path":"b","len":40,"mode":420,"seed":4}
		{"op":"remount"}
		{"op":"open","path":"b"}
		{"op":"unlink","path":"b"}
		{"op":"unlink","path":"a/a"}
		{"op":"unlink","path":"a/b"}
		{"op":"unlink","path":"a/c"}
		{"op":"put","path":"a/b","len":50,"mode":420,"seed":5}
		{"op":"close"}
		{"op":"unlink","path":"a/b"}
		{"op":"rmdir","path":"a"}
		{"op":"sync"}`},
	{"attributes", `
		{"op":"mkdir","path":"b","mode":493}
		{"op":"put","path":"a","len":1000,"mode":420,"seed":1}
		{"op":"chmod","path":"a","mode":384}
		{"op":"utimes","path":"a","off":1234567890}
		{"op":"sync"}
		{"op":"chmod","path":"a","mode":493}
		{"op":"append","path":"a","len":100,"seed":2}
		{"op":"chmod","path":"b","mode":448}
		{"op":"chmod","path":"a","mode":256}
		{"op":"append","path":"c","len":100,"mode":420,"seed":3}
		{"op":"chmod","path":"c","mode":384}
		{"op":"sync"}`},
	{"overwrite", `
		{"op":"put","path":"a","len":100000,"mode":420,"seed":1}
		{"op":"open","path":"a","flags":2}
		{"op":"write","off":500,"len":80000,"seed":2}
		{"op":"open","path":"b","slot":1,"flags":66,"mode":420}
		{"op":"write","slot":1,"len":70000,"seed":3}
		{"op":"fsync","slot":1}
		{"op":"close"}
		{"op":"open","path":"a","flags":514}
		{"op":"write","len":30,"seed":4}
		{"op":"chmod","path":"b","mode":384}
		{"op":"kill"}
		{"op":"put","path":"a","len":90000,"seed":5}
		{"op":"append","path":"a","len":70000,"seed":6}
		{"op":"patch","path":"a","off":80000,"len":20000,"seed":7}
		{"op":"truncate","path":"a","len":0}
		{"op":"sync"}`},
}

// modes are the two ways to commit.
func modes() []treemodel.Config {
	return []treemodel.Config{{Name: "close"}, {Name: "background", Background: true}}
}
