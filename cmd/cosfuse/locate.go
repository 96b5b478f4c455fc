package main

import (
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// site is a cache directory that a command is about.
type site struct {
	cacheDir string
	rec      record // of the last daemon; zero if none left one
	path     string // below the mountpoint, when a path in the mount was given
}

// siteOf is the site of a cache directory.
func siteOf(cacheDir string) (site, error) {
	abs, err := filepath.Abs(cacheDir)
	if err != nil {
		return site{}, machineError("use absolute paths", "working directory: %w", err)
	}
	if info, err := os.Stat(abs); err != nil {
		return site{}, machineError("check --cache-dir", "cache directory: %w", err)
	} else if !info.IsDir() {
		return site{}, machineError("check --cache-dir", "%s is not a directory", abs)
	}
	rec, err := readRecord(abs)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return site{}, machineError("try again", "cache directory: %w", err)
	}
	rec.cacheDir = abs
	return site{cacheDir: abs, rec: rec}, nil
}

// locate finds what a command is about: the cache directory if one is given, else the mount that path is
// in, else, if path is empty, the only mount that this user has, or had.
func (c *cli) locate(path, cacheDir string) (site, error) {
	switch {
	case path != "" && cacheDir != "":
		return site{}, usageError("give one of them", "both a path and --cache-dir are given")
	case cacheDir != "":
		return siteOf(cacheDir)
	case path != "":
		return c.siteAt(path)
	}
	sites := c.sites()
	switch len(sites) {
	case 0:
		return site{}, machineError("give the mountpoint, or --cache-dir DIR", "you have no mount, and none that died")
	case 1:
		return sites[0], nil
	}
	var names []string
	for _, s := range sites {
		names = append(names, s.rec.Mountpoint)
	}
	return site{}, usageError("give one of them", "there are several mounts: %s", strings.Join(names, ", "))
}

// siteAt finds the mount that a path is in, or was until its daemon died.
func (c *cli) siteAt(arg string) (site, error) {
	path, err := realPath(arg)
	if err != nil {
		return site{}, machineError("check the path", "%w", err)
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		entry, mounted, err := c.findMount(dir)
		if err != nil {
			return site{}, err
		}
		if mounted && !entry.ours() {
			break // whatever is above is not what the path shows
		}
		if rec, err := c.findRecord(dir, entry); err == nil && (mounted || dir == path) {
			return site{cacheDir: rec.cacheDir, rec: rec, path: strings.Trim(strings.TrimPrefix(path, dir), "/")}, nil
		}
		if mounted {
			return site{}, machineError("use --cache-dir DIR", "the process that serves %s cannot be found", dir)
		}
		if dir == "/" {
			break
		}
	}
	return site{}, machineError("\"findmnt -t fuse."+fsType+"\" lists what is mounted", "%s is not in a mount of cosfuse", path)
}

// sites are those that daemons of this user left links to, in the order of their mountpoints.
func (c *cli) sites() []site {
	seen := map[string]bool{}
	var sites []site
	for _, dir := range c.runtimeDir(os.Getuid()) {
		links, err := filepath.Glob(filepath.Join(dir, linkPrefix+"*"))
		if err != nil || !ownedBy(dir, os.Getuid()) {
			continue
		}
		for _, link := range links {
			cacheDir, err := os.Readlink(link)
			if err != nil || seen[cacheDir] {
				continue
			}
			seen[cacheDir] = true
			if rec, err := readRecord(cacheDir); err == nil {
				sites = append(sites, site{cacheDir: cacheDir, rec: rec})
			}
		}
	}
	slices.SortFunc(sites, func(a, b site) int { return strings.Compare(a.rec.Mountpoint, b.rec.Mountpoint) })
	return sites
}

// visit keeps daemons out of a cache directory while a command looks into it. The error is errLocked if
// there is one already; leave gives the directory back.
func visit(cacheDir string) (leave func(), err error) {
	f, err := os.OpenFile(filepath.Join(cacheDir, lockName), os.O_RDONLY, 0)
	if errors.Is(err, iofs.ErrNotExist) {
		return func() {}, nil // no daemon was ever here
	}
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_SH); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
