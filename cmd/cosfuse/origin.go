package main

import (
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"cosfuse/writeback"
)

// originName is the file of a cache directory that says what it is of.
const originName = "origin.json"

// originVersion is that of the file's format.
const originVersion = 1

// origin says what a cache directory holds changes of and how to get there, so that they can be dealt
// with when nothing is mounted. There is no secret in it.
type origin struct {
	Version         int    `json:"version"`
	Bucket          string `json:"bucket"`
	Prefix          string `json:"prefix,omitempty"`
	Region          string `json:"region,omitempty"`
	Endpoint        string `json:"endpoint,omitempty"`
	Local           string `json:"local,omitempty"`
	Anonymous       bool   `json:"anonymous,omitempty"`
	CredentialsFile string `json:"credentials_file,omitempty"`
	ConfigFile      string `json:"config_file,omitempty"`
	Role            string `json:"role,omitempty"`
	RoleEndpoint    string `json:"role_endpoint,omitempty"`
}

// origin is that of the mount.
func (o *mountOptions) origin() origin {
	return origin{
		Version: originVersion, Bucket: o.bucket, Prefix: o.prefix, Region: o.region, Endpoint: o.endpoint, Local: o.local,
		Anonymous: o.anonymous, CredentialsFile: o.credentialsFile, ConfigFile: o.configFile,
		Role: o.role, RoleEndpoint: o.roleEndpoint,
	}
}

// same reports whether both are the same part of the same bucket, however it is reached.
func (a origin) same(b origin) bool {
	return a.Bucket == b.Bucket && a.Prefix == b.Prefix && a.Local == b.Local && service(a.Endpoint) == service(b.Endpoint)
}

// service names whose buckets an endpoint leads to. It is empty for the hosts of COS itself: a bucket's
// name is the only one there, whatever the way.
func service(endpoint string) string {
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || serviceHost.MatchString(strings.ToLower(u.Hostname())) {
		return ""
	}
	return strings.ToLower(u.Host)
}

// String names the bucket and, if it is not COS, where it is.
func (a origin) String() string {
	where := (&mountOptions{bucket: a.Bucket, prefix: a.Prefix, local: a.Local}).source()
	if s := service(a.Endpoint); s != "" {
		where += " at " + s
	}
	return where
}

// readOrigin reads what dir is of. The error is fs.ErrNotExist if it is of nothing yet.
func readOrigin(dir string) (origin, error) {
	path := filepath.Join(dir, originName)
	text, _, err := readSmall(path)
	if err != nil {
		return origin{}, err
	}
	var a origin
	if err := json.Unmarshal(text, &a); err != nil {
		return origin{}, fmt.Errorf("%s: %w", path, err)
	}
	if a.Version != originVersion {
		return origin{}, fmt.Errorf("%s: %w: version %d, this program knows %d", path, writeback.ErrFormat, a.Version, originVersion)
	}
	return a, nil
}

// write replaces what dir is of, as a whole: it must be there when anything is in the journal.
func (a origin) write(dir string) (err error) {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, originName+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, originName))
}

// claimCache makes sure that a cache directory, whose lock we have, is not another bucket's.
func claimCache(dir string, mine origin) error {
	was, err := readOrigin(dir)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
	case err != nil:
		return explainJournal(err, dir)
	case !was.same(mine):
		return foreignCache(dir, was)
	}
	if err := mine.write(dir); err != nil {
		return machineError("use --cache-dir DIR with a directory of your own on a local disk", "cache directory: %w", err)
	}
	return nil
}

// foreignCache refuses a directory that is of something else.
func foreignCache(dir string, was origin) error {
	mend := "use another --cache-dir, or delete this one"
	left, err := writeback.ReadLeft(dir)
	switch {
	case err != nil:
		mend = "use another --cache-dir"
	case !left.Empty():
		mend = fmt.Sprintf("use another --cache-dir; mounting %v with this one commits what is in it, "+
			"\"cosfuse status --cache-dir %s\" lists it", was, dir)
	}
	return machineError(mend, "cache directory %s: %w: it is of %v", dir, writeback.ErrForeign, was)
}

// explainJournal says what to do about an error of the journal in dir.
func explainJournal(err error, dir string) error {
	switch {
	case errors.Is(err, writeback.ErrForeign):
		return machineError("use another --cache-dir; \"cosfuse status --cache-dir "+dir+"\" lists what is in this one",
			"cache directory %s: %w", dir, err)
	case errors.Is(err, writeback.ErrLocked):
		return machineError("wait until the mount or the \"cosfuse recover\" that uses it has ended, see \"fuser -v "+
			filepath.Join(dir, "journal")+"/LOCK\"", "cache directory %s: %w", dir, err)
	case errors.Is(err, writeback.ErrFormat):
		return machineError("use the version of cosfuse that wrote it, or another --cache-dir; do not delete it: what is in it is not in the bucket",
			"cache directory %s: %w", dir, err)
	}
	return machineError("use --cache-dir DIR with room on a local disk", "cache directory %s: %w", dir, err)
}

// recovered tells in one line what a mount found of the one before it; "" is nothing.
func recovered(r writeback.Recovery) string {
	if !r.Any() {
		return ""
	}
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	size := byteCount(r.Bytes)
	add(r.Files, "file ("+size+") is being committed", "files ("+size+") are being committed")
	add(r.Renames, "directory rename completed", "directory renames completed")
	add(r.Removals, "deletion settled", "deletions settled")
	add(r.Uploads, "upload aborted", "uploads aborted")
	add(r.Conflicts, "file kept because another writer was first", "files kept because another writer was first")
	add(r.Damaged, "file kept because staged bytes are missing", "files kept because staged bytes are missing")
	line := "recovered from an earlier mount: " + strings.Join(parts, ", ")
	if r.Conflicts+r.Damaged > 0 {
		line += "; see \"cosfuse recover\""
	}
	return line
}

// byteCount prints a number of bytes for people: with three digits at least, in binary units.
func byteCount(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}
