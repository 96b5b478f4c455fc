package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// memoryBeside is what the process may use besides the budget of --memory.
	memoryBeside = 150 << 20
	// memoryUncounted is the part of it that the Go runtime does not count, the program itself for one, and
	// by which it is late: from budget and the rest on, the garbage collector works harder.
	memoryUncounted = 40 << 20
	// kernelAhead is the most, in KiB, that the kernel reads ahead of a file: one request of the largest
	// size. Left alone it is 128, and each MiB read then takes eight requests.
	kernelAhead = 1024
)

// namesPart is the part of --memory that listings and attributes may take; the rest is for blocks.
const namesPart = 4

// namesMemory is what names and attributes may take.
func (o *mountOptions) namesMemory() int64 { return int64(o.memory) / namesPart }

// blocksMemory is what blocks may take, those on their way included.
func (o *mountOptions) blocksMemory() int64 { return int64(o.memory) - o.namesMemory() }

// limitMemory tells the Go runtime how much memory the process is meant to use, unless the user did.
func (o *mountOptions) limitMemory(getenv func(string) string) {
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(o.memory) + memoryBeside - memoryUncounted)
	}
}

// readFarther lets the kernel read ahead of the files of a mount in requests as large as can be. Only root
// may; failing costs speed alone. It asks nothing of the mount.
func (c *cli) readFarther(mountpoint string, log *slog.Logger) {
	e, mounted, err := c.findMount(mountpoint)
	if err == nil && mounted && e.ours() {
		err = raiseReadAhead(filepath.Join("/sys/class/bdi", e.device, "read_ahead_kb"))
	}
	if err != nil {
		log.Debug("the kernel's read-ahead stays as it is", "err", err)
	}
}

// raiseReadAhead makes the number in file kernelAhead, unless it is larger.
func raiseReadAhead(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || now >= kernelAhead {
		return err
	}
	return os.WriteFile(file, []byte(strconv.Itoa(kernelAhead)), 0)
}
