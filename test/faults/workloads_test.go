package faults

import (
	"fmt"
	"syscall"

	"cosfuse/test/internal/treemodel"
)

// workload is what a program does, on a smaller scale than in the gates on cost. The mounts send files over 1 MiB
// in parts, and copy what they can of those over 5 MiB.
type workload struct {
	name       string
	background bool
	setup, ops []treemodel.Op
}

const (
	mib       = 1 << 20
	large     = 9 * mib
	plain     = 0o644
	newFile   = syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC
	exclusive = syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL
)

var (
	fresh = treemodel.Op{Op: "fresh"} // a mount that knows nothing
	list  = treemodel.Op{Op: "readdir", Path: "."}
)

// on is an operation on a path.
func on(op, path string) treemodel.Op { return treemodel.Op{Op: op, Path: path, Mode: 0o755} }

// put, appended and patch write n bytes.
func put(path string, n int64) treemodel.Op {
	return treemodel.Op{Op: "put", Path: path, Len: n, Mode: plain, Seed: uint64(n) + uint64(len(path))}
}

func appended(path string, n int64) treemodel.Op {
	return treemodel.Op{Op: "append", Path: path, Len: n, Mode: plain, Seed: uint64(n)}
}

func rename(from, to string) treemodel.Op { return treemodel.Op{Op: "rename", Path: from, To: to} }

// written makes a file with open, write and close.
func written(path string, flags int, sizes ...int64) []treemodel.Op {
	out := []treemodel.Op{{Op: "open", Path: path, Flags: flags, Mode: plain}}
	var off int64
	for i, n := range sizes {
		out = append(out, treemodel.Op{Op: "write", Off: off, Len: n, Seed: uint64(i) + 7})
		off += n
	}
	return append(out, treemodel.Op{Op: "close"})
}

// times repeats what each returns for 0 to n-1.
func times(n int, each func(i int) []treemodel.Op) (out []treemodel.Op) {
	for i := range n {
		out = append(out, each(i)...)
	}
	return out
}

// one is times for a single operation on a name that ends in a number.
func one(n int, path string, op func(path string) treemodel.Op) []treemodel.Op {
	return times(n, func(i int) []treemodel.Op { return []treemodel.Op{op(fmt.Sprint(path, i))} })
}

func join(parts ...[]treemodel.Op) (out []treemodel.Op) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func ops(o ...treemodel.Op) []treemodel.Op { return o }

// attributes are what tar and rsync give a file at the end.
func attributes(path string) []treemodel.Op {
	return ops(treemodel.Op{Op: "chmod", Path: path, Mode: 0o640}, treemodel.Op{Op: "utimes", Path: path, Off: 1234567890})
}

// workloads are those whose cost is held in test/gates.
func workloads() []workload {
	small := func(path string) treemodel.Op { return put(path, 16<<10) }
	line := func(string) treemodel.Op { return appended("log", 100) }
	tree := func(i int) []treemodel.Op {
		dir := fmt.Sprint("d", i)
		return join(ops(on("mkdir", dir)), times(3, func(j int) []treemodel.Op {
			path := fmt.Sprint(dir, "/f", j)
			return join(ops(put(path, 2000)), attributes(path))
		}))
	}
	synced := func(i int) []treemodel.Op {
		path := fmt.Sprint("in/.f", i)
		return join(written(path, exclusive, 3000), attributes(path), ops(rename(path, fmt.Sprint("in/f", i))))
	}
	object := func(i int) []treemodel.Op {
		tmp := fmt.Sprint("git/tmp", i)
		return join(written(tmp, exclusive, 500), ops(rename(tmp, fmt.Sprint("git/o", i))))
	}
	locked := func(int) []treemodel.Op {
		return join(written("git/index.lock", exclusive, 700), ops(rename("git/index.lock", "git/index")))
	}
	inDir := ops(on("mkdir", "d"))
	return []workload{
		{name: "new files", ops: one(4, "f", small)},
		{name: "new files, background", background: true, ops: one(4, "f", small)},
		{name: "untar", ops: times(2, tree)},
		{name: "write a large file", ops: written("F", newFile, times64(10, mib)...)},
		{name: "overwrite in the middle", setup: ops(put("F", large), fresh, list),
			ops: ops(treemodel.Op{Op: "patch", Path: "F", Off: large / 2, Len: 1000, Seed: 3})},
		{name: "append to a large file", setup: ops(put("F", large), fresh, list), ops: ops(appended("F", 2000))},
		{name: "append lines", ops: one(4, "", line)},
		{name: "append lines, background", background: true, ops: one(4, "", line)},
		{name: "rename a large file", setup: ops(put("F", large), fresh, list), ops: ops(rename("F", "G"))},
		{name: "rename a directory", setup: join(inDir, one(4, "d/f", small), ops(fresh, list)), ops: ops(rename("d", "e"))},
		{name: "rm -r", setup: join(inDir, one(4, "d/f", small), ops(fresh, list)),
			ops: join(ops(on("readdir", "d")), one(4, "d/f", func(p string) treemodel.Op { return on("unlink", p) }), ops(on("rmdir", "d")))},
		{name: "rsync", ops: join(ops(on("mkdir", "in")), times(2, synced), one(2, "in/f", func(p string) treemodel.Op { return on("stat", p) }))},
		{name: "git", background: true, ops: join(ops(on("mkdir", "git")), times(3, object), times(2, locked),
			written("git/HEAD.lock", exclusive, 40), ops(on("unlink", "git/HEAD.lock")))},
		{name: "read", setup: ops(put("F", large), put("f", 3000), fresh, list), ops: ops(on("get", "f"), on("get", "F"))},
	}
}

// times64 is n times size.
func times64(n int, size int64) (out []int64) {
	for range n {
		out = append(out, size)
	}
	return out
}
