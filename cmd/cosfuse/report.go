package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"cosfuse/fs"
	"cosfuse/writeback"
)

// reportVersion is that of the JSON that status prints and a daemon answers. Fields are added without
// changing it; it changes when one goes or means something else.
const reportVersion = 1

// statusReport is what status prints as JSON.
type statusReport struct {
	Version int           `json:"version"`
	Mounts  []mountStatus `json:"mounts"`
}

// mountStatus is one mount, or what a dead one left.
type mountStatus struct {
	Source     string       `json:"source,omitempty"`     // bucket and prefix, or directory
	Mountpoint string       `json:"mountpoint,omitempty"` // where it is, or was, mounted
	CacheDir   string       `json:"cache_dir"`
	PID        int          `json:"pid,omitempty"` // 0: no daemon lives
	State      state        `json:"state"`
	Files      []fileStatus `json:"files"`
	Totals     totals       `json:"totals"`
	Pending    *pending     `json:"pending,omitempty"` // what is to be done besides; absent if nothing is
	Error      string       `json:"error,omitempty"`   // why nothing else is known of it
}

// stateDead is that of a cache directory whose daemon does not live.
const stateDead state = "dead"

// fileStatus is one file that is not in the bucket as it is here.
type fileStatus struct {
	Ino        uint64              `json:"ino"`  // names it to "cosfuse recover"
	Path       string              `json:"path"` // below the mountpoint
	Key        string              `json:"key"`
	State      writeback.FileState `json:"state"`
	Size       int64               `json:"size"`
	BytesLeft  int64               `json:"bytes_left"`
	Since      time.Time           `json:"since,omitzero"` // when it became dirty
	AgeSeconds float64             `json:"age_seconds"`
	Open       bool                `json:"open"`
	Error      string              `json:"error,omitempty"`  // of the last commit
	Behind     string              `json:"behind,omitempty"` // path of the object, which a rename could not move yet
}

// totals sum up files. Those that are kept for the user to decide are in none of the first three.
type totals struct {
	Files     int   `json:"files"`
	BytesLeft int64 `json:"bytes_left"`
	Failed    int   `json:"failed"`
	Conflicts int   `json:"conflicts"`
	Damaged   int   `json:"damaged"`
}

// pending counts what is to be done about things that are no files. Directory renames and uploads that are
// under way show only once their daemon is dead.
type pending struct {
	Removals int `json:"removals"`
	Renames  int `json:"renames"`
	Uploads  int `json:"uploads"`
}

// reportFiles turns what the Store tells into what is printed, below the mount's prefix.
func reportFiles(list []writeback.FileStatus, prefix string, now time.Time) []fileStatus {
	out := make([]fileStatus, 0, len(list)) // never null in JSON
	for _, f := range list {
		r := fileStatus{
			Ino: f.Ino, Key: f.Key, Path: fs.PathOf(prefix, f.Key), State: f.State, Size: f.Size, BytesLeft: f.Left,
			Since: f.Since, Open: f.Open, Error: f.Err,
		}
		if f.Behind != "" {
			r.Behind = fs.PathOf(prefix, f.Behind)
		}
		if !f.Since.IsZero() {
			r.AgeSeconds = max(0, now.Sub(f.Since).Round(time.Millisecond).Seconds())
		}
		out = append(out, r)
	}
	return out
}

// sum adds up files.
func sum(files []fileStatus) totals {
	var t totals
	for _, f := range files {
		switch f.State {
		case writeback.StateConflict:
			t.Conflicts++
			continue
		case writeback.StateDamaged:
			t.Damaged++
			continue
		case writeback.StateFailed:
			t.Failed++
		}
		t.Files++
		t.BytesLeft += f.BytesLeft
	}
	return t
}

// String is a line such as "3 files, 1.2 MiB".
func (t totals) String() string {
	if t.Files == 1 {
		return "1 file, " + byteCount(t.BytesLeft)
	}
	return fmt.Sprintf("%d files, %s", t.Files, byteCount(t.BytesLeft))
}

// print writes a mount for people.
func (m *mountStatus) print(w io.Writer) error {
	fmt.Fprintln(w, m.title())
	if len(m.Files) > 0 {
		if err := printFiles(w, m.Files); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, m.summary())
	return err
}

// title names the mount and who serves it.
func (m *mountStatus) title() string {
	source := m.Source
	if source == "" {
		source = m.CacheDir
	}
	switch {
	case m.State == stateDead && m.Mountpoint == "":
		return fmt.Sprintf("%s: not mounted", source)
	case m.State == stateDead:
		return fmt.Sprintf("%s: not mounted, last on %s", source, m.Mountpoint)
	}
	return fmt.Sprintf("%s on %s: %s, process %d", source, m.Mountpoint, m.State, m.PID)
}

// summary is the last line of a mount.
func (m *mountStatus) summary() string {
	if m.Error != "" {
		return "status unknown: " + m.Error
	}
	var parts []string
	if m.Totals.Files > 0 {
		verb := "to commit"
		if m.State == stateDead {
			verb = "to commit at the next mount"
		}
		parts = append(parts, m.Totals.String()+" "+verb)
	}
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+what)
		}
	}
	add(m.Totals.Failed, "failed")
	add(m.Totals.Conflicts, "in conflict")
	add(m.Totals.Damaged, "damaged")
	if p := m.Pending; p != nil {
		add(p.Removals, "to delete")
		add(p.Renames, "directory renames to complete")
		add(p.Uploads, "uploads to abort")
	}
	if len(parts) == 0 {
		return "everything is in the bucket"
	}
	if m.Totals.Conflicts+m.Totals.Damaged > 0 {
		return strings.Join(parts, ", ") + "; see \"cosfuse recover --help\""
	}
	return strings.Join(parts, ", ")
}

// printFiles writes a table.
func printFiles(w io.Writer, files []fileStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "INO\tSTATE\tLEFT\tAGE\tPATH")
	for _, f := range files {
		age := "-"
		if !f.Since.IsZero() {
			age = time.Duration(f.AgeSeconds * float64(time.Second)).Round(time.Second).String()
		}
		line := fmt.Sprintf("%d\t%s\t%s\t%s\t%s", f.Ino, f.State, byteCount(f.BytesLeft), age, printable(f.Path))
		if f.Behind != "" {
			line += " (still at " + printable(f.Behind) + " in the bucket)"
		}
		if f.Error != "" {
			line += ": " + printable(f.Error)
		}
		fmt.Fprintln(t, line)
	}
	return t.Flush()
}

// printable is text as it is, or quoted if a terminal might take it for a command.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// leftStatus describes a cache directory without a daemon.
func leftStatus(cacheDir string, l *writeback.Left, now time.Time) mountStatus {
	m := mountStatus{CacheDir: cacheDir, State: stateDead, Files: reportFiles(l.Files, l.Prefix, now)}
	m.Totals = sum(m.Files)
	if p := (pending{l.Removals, l.Renames, l.Uploads}); p != (pending{}) {
		m.Pending = &p
	}
	if a, err := readOrigin(cacheDir); err == nil {
		m.Source = a.String()
	}
	if rec, err := readRecord(cacheDir); err == nil {
		m.Mountpoint = rec.Mountpoint
	}
	m.CacheDir = filepath.Clean(cacheDir)
	return m
}
