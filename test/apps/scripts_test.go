package apps

import (
	"testing"

	"cosfuse/test/internal/mounttest"
)

// app is a program at work: do runs on a mount, check on another one of the same bucket, with empty caches.
type app struct {
	name  string
	needs []string
	do    string
	check string // wants no output
}

// makeTree makes a tree in $LOCAL/src to work on.
const makeTree = `
mkdir -p "$LOCAL/src/sub/deep" "$LOCAL/src/empty"
i=0; while [ $i -lt 30 ]; do seq $i $((i * 37)) >"$LOCAL/src/sub/f$i"; i=$((i + 1)); done
head -c 3000001 /dev/urandom >"$LOCAL/src/big"
printf '#!/bin/sh\necho run\n' >"$LOCAL/src/sub/deep/run.sh"; chmod 755 "$LOCAL/src/sub/deep/run.sh"
ln -s deep/run.sh "$LOCAL/src/sub/link"
touch -d '2001-02-03 04:05:06.789' "$LOCAL/src/sub/f1" "$LOCAL/src/empty"
`

var scripts = []app{
	{"git", []string{"git"}, makeTree + `
		git init -q repo; cd repo
		cp -a "$LOCAL"/src/. .; git add .; git commit -qm one
		seq 500 >sub/f3; git rm -q sub/f4; git mv sub/f5 sub/g5; git commit -qam two
		git checkout -qb side HEAD~1; echo side >side; git add side; git commit -qm side
		git checkout -q -; git merge -q --no-edit side
		cd ..; git clone -q --no-local repo clone; cd repo; git gc -q; git fsck --strict; git reflog expire --expire=now --all`, `
		for r in repo clone; do (cd $r; git fsck --strict --full; git status --porcelain; test $(git rev-list --count HEAD) = 4); done
		test "$(git -C repo rev-parse HEAD^{tree})" = "$(git -C clone rev-parse HEAD^{tree})"
		rmdir repo/empty; diff -r -x .git repo clone; cmp repo/big "$LOCAL/src/big"; test ! -e repo/sub/f4; test -x clone/sub/deep/run.sh`},
	{"rsync", []string{"rsync"}, makeTree + `
		rsync -a "$LOCAL/src/" dst/; test -z "$(rsync -ai --checksum "$LOCAL/src/" dst/)"
		rm -r "$LOCAL/src/sub/f7" "$LOCAL/src/empty"; echo new >"$LOCAL/src/sub/new"
		rsync -a --delete "$LOCAL/src/" dst/
		printf changed | dd of="$LOCAL/src/big" bs=1 seek=1500000 conv=notrunc status=none
		rsync -a --inplace --no-whole-file "$LOCAL/src/" dst/
		seq 1000 >>"$LOCAL/src/sub/f8"; seq 9 >>"$LOCAL/src/big"
		rsync -a --append-verify "$LOCAL/src/" dst/`, `
		rsync -ain --delete --checksum "$LOCAL/src/" dst/; diff -r "$LOCAL/src" dst; test ! -e dst/empty`},
	{"tar", []string{"tar"}, makeTree + `
		tar cf all.tar -C "$LOCAL" src; tar xf all.tar
		tar cf again.tar src # of files that were made a moment ago: they do not change while they are read
		echo late >"$LOCAL/src/late"; tar rf all.tar -C "$LOCAL" src/late`, `
		tar df again.tar; tar xOf all.tar src/late | cmp - "$LOCAL/src/late"; rm "$LOCAL/src/late"
		diff -r "$LOCAL/src" src; test "$(readlink src/sub/link)" = deep/run.sh
		test "$(stat -c %Y.%a src/sub/f1)" = "$(stat -c %Y.%a "$LOCAL/src/sub/f1")"
		test "$(stat -c %Y.%a src/empty)" = "$(stat -c %Y.%a "$LOCAL/src/empty")"`},
	{"sqlite", []string{"sqlite3"}, `
		for mode in delete truncate persist wal; do
			sqlite3 $mode.db "pragma journal_mode=$mode; create table t(n integer primary key, v text);" >/dev/null
			sqlite3 $mode.db "begin; with recursive c(i) as (select 1 union all select i+1 from c where i < 500)
				insert into t select i, hex(randomblob(50)) from c; commit;"
			sqlite3 $mode.db "begin; delete from t where n > 100; rollback; begin; update t set v = 'x' where n <= 100; commit;"
		done`, `
		for mode in delete truncate persist wal; do
			test "$(sqlite3 $mode.db 'pragma integrity_check; select count(*), sum(v = "x") from t;')" = "ok
500|100"
		done`},
	{"vim", []string{"vi"}, `
		seq 100 >f; chmod 640 f
		for way in no yes; do
			vi -u NONE -es -c "set backup writebackup backupskip= backupcopy=$way" -c '%s/^5/five/e' -c 'normal Golast' -c wq f </dev/null
		done`, `
		{ seq 100 | sed 's/^5/five/'; echo last; echo last; } | cmp - f
		{ seq 100 | sed 's/^5/five/'; echo last; } | cmp - 'f~'
		test "$(ls -A)" = "f
f~"; test $(stat -c %a f) = 640`},
	{"sed -i", []string{"sed"}, `
		seq 1000 >f; chmod 600 f; sed -i 's/0$/zero/' f; sed -i.bak 's/1/one/' f`, `
		seq 1000 | sed 's/0$/zero/' | cmp - f.bak; seq 1000 | sed 's/0$/zero/; s/1/one/' | cmp - f
		test "$(ls -A)" = "f
f.bak"; test $(stat -c %a f) = 600`},
	{"logrotate", []string{"logrotate"}, `
		printf '"%s/moved.log" { rotate 3\n create 640\n missingok\n }\n"%s/copied.log" { rotate 3\n copytruncate\n compress\n }\n' \
			"$MNT" "$MNT" >"$LOCAL/conf"
		exec 3>>copied.log
		for i in 1 2 3; do
			echo round $i >>moved.log; echo round $i >&3
			logrotate -f -s "$LOCAL/state" "$LOCAL/conf"
		done
		echo last >&3; exec 3>&-`, `
		for i in 1 2 3; do
			test "$(cat moved.log.$i)" = "round $((4 - i))"; test "$(gzip -dc copied.log.$i.gz)" = "round $((4 - i))"
		done
		test ! -s moved.log; test "$(cat copied.log)" = last; test $(stat -c %a moved.log) = 640
		test $(ls | wc -l) = 8`},
	{"go build", []string{"go"}, `
		mkdir -p mod/greet; cd mod; printf 'module example.org/hello\n\ngo 1.20\n' >go.mod
		printf 'package greet\n\nfunc Hello() string { return "hello" }\n' >greet/greet.go
		printf 'package greet\n\nimport "testing"\n\nfunc TestHello(t *testing.T) {\n\tif Hello() != "hello" {\n\t\tt.Fatal()\n\t}\n}\n' >greet/greet_test.go
		printf 'package main\n\nimport "example.org/hello/greet"\n\nfunc main() { print(greet.Hello()) }\n' >main.go
		export GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local GOTMPDIR="$MNT" CGO_ENABLED=0
		go build -o "$MNT/hello" .; go test ./... >/dev/null`, `
		cp hello "$LOCAL/hello"; test "$(./hello 2>&1)" = hello; test "$("$LOCAL/hello" 2>&1)" = hello; cd mod
		GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 go vet ./...`},
	{"make -j", []string{"make", "gcc"}, `
		for i in 1 2 3 4 5 6; do echo "int f$i(void) { return $i; }" >f$i.c; done
		echo 'int f1(void), f6(void); int main(void) { return f1() + f6(); }' >main.c
		printf 'OBJS = main.o f1.o f2.o f3.o f4.o f5.o f6.o\nprog: $(OBJS)\n\tgcc -o $@ $(OBJS)\n%%.o: %%.c\n\tgcc -c -o $@ $<\n' >Makefile
		make -s -j4; test "$(make -j4)" = "make: 'prog' is up to date."
		touch -d '+2 seconds' f3.c; make -j4 -n | grep -c gcc | grep -qx 2; touch -d '-1 hour' f3.c; make -s -j4`, `
		make -q; code=0; ./prog || code=$?; test $code = 7`},
	{"dd", []string{"dd"}, `
		head -c 3000000 /dev/urandom >"$LOCAL/in"
		for to in "$MNT" "$LOCAL"; do
			dd if="$LOCAL/in" of="$to/odd" bs=7777 status=none
			dd if="$LOCAL/in" of="$to/odd" bs=4097 seek=100 count=13 conv=notrunc status=none
			dd if="$LOCAL/in" of="$to/odd" bs=1 seek=2999990 count=99 conv=notrunc status=none
			dd if="$LOCAL/in" of="$to/odd" bs=513 seek=9000 count=3 conv=notrunc,fsync status=none
			dd if="$LOCAL/in" of="$to/small" bs=3 count=333 oflag=dsync status=none
			dd if="$LOCAL/in" of="$to/small" bs=100 count=7 oflag=append conv=notrunc status=none
			dd if="$LOCAL/in" of="$to/cut" bs=65537 count=9 status=none
			dd if="$LOCAL/in" of="$to/cut" bs=1000 seek=7 count=2 status=none
		done`, `
		for f in odd small cut; do cmp $f "$LOCAL/$f"; done
		dd if=odd bs=999 skip=1234 status=none | cmp - "$LOCAL/odd" -i 0:1232766`},
	{"fallocate", []string{"fallocate"}, `
		head -c 1000000 /dev/urandom >"$LOCAL/in"
		for to in "$MNT" "$LOCAL"; do
			cp "$LOCAL/in" "$to/punched"; fallocate -p -o 4000 -l 123456 "$to/punched"; fallocate -z -o 990001 -l 50000 "$to/punched"
			fallocate -l 300000 "$to/grown"; printf end >>"$to/grown"
			cp "$LOCAL/in" "$to/kept"; fallocate -n -o 0 -l 5000000 "$to/kept"
		done
		if fallocate -c -o 4096 -l 4096 kept 2>/dev/null; then echo a collapsed range; exit 1; fi`, `
		for f in punched grown kept; do cmp $f "$LOCAL/$f"; done; test $(stat -c %s kept) = 1000000`},
	{"appenders", nil, `
		pids=; i=1
		while [ $i -le 20 ]; do
			(for j in 1 2 3 4 5; do echo "line $j of $i" >>log; done) & pids="$pids $!"; i=$((i + 1))
		done
		for p in $pids; do wait $p; done`, `
		for i in $(seq 20); do for j in 1 2 3 4 5; do echo "line $j of $i"; done; done | sort >"$LOCAL/want"
		sort log | cmp - "$LOCAL/want"
		for i in $(seq 20); do grep " $i\$" log | cut -d' ' -f2 | tr -d '\n' | grep -qx 12345; done`},
}

// TestScripts runs each script, and its check after a remount with empty caches.
func TestScripts(t *testing.T) {
	for _, a := range scripts {
		t.Run(a.name, func(t *testing.T) {
			mounttest.NeedFUSE(t)
			needs(t, a.needs...)
			b := newBench(t, mounttest.Options{})
			b.shell(t, a.do)
			b.Remount(t)
			if out := b.shell(t, a.check); out != "" {
				t.Errorf("after a remount: %s", out)
			}
		})
	}
}
