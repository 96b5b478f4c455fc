package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"

	"cosfuse/fs"
)

// byteSize is a number of bytes that reads and prints as "20MiB". Plain numbers are bytes; K, M, G,
// T and KiB, MiB, GiB, TiB are powers of 1024, and KB, MB, GB, TB powers of 1000.
type byteSize int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40},
	{"b", 1},
}

// Set parses text as pflag wants it.
func (s *byteSize) Set(text string) error {
	number, unit := strings.ToLower(strings.TrimSpace(text)), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return errors.New("want a size such as 20MiB")
	}
	*s = byteSize(n * unit)
	return nil
}

// String prints the size in the largest binary unit that divides it.
func (s *byteSize) String() string {
	n := int64(*s)
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if one := int64(1) << (40 - 10*i); n >= one && n%one == 0 {
			return strconv.FormatInt(n/one, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// Type names the kind of value in help texts.
func (s *byteSize) Type() string { return "size" }

// commitMode says what close(2) waits for.
type commitMode string

const (
	commitClose      commitMode = "close"      // the bucket
	commitBackground commitMode = "background" // the journal
)

// Set parses text as pflag wants it.
func (m *commitMode) Set(text string) error {
	switch mode := commitMode(strings.ToLower(text)); mode {
	case commitClose, commitBackground:
		*m = mode
		return nil
	}
	return errors.New("want close or background")
}

// String prints the mode as Set reads it.
func (m *commitMode) String() string { return string(*m) }

// Type names the kind of value in help texts.
func (m *commitMode) Type() string { return "mode" }

// consistency says how sure open(2) is of what others did.
type consistency fs.Consistency

var consistencies = map[consistency]string{
	consistency(fs.CloseToOpen): "close-to-open",
	consistency(fs.Strict):      "strict",
	consistency(fs.Relaxed):     "relaxed",
}

// Set parses text as pflag wants it.
func (c *consistency) Set(text string) error {
	for v, name := range consistencies {
		if strings.EqualFold(text, name) {
			*c = v
			return nil
		}
	}
	return errors.New("want close-to-open, strict or relaxed")
}

// String prints the choice as Set reads it.
func (c *consistency) String() string { return consistencies[*c] }

// Type names the kind of value in help texts.
func (c *consistency) Type() string { return "choice" }

// statSource says where attributes come from.
type statSource fs.AttributeSource

var statSources = map[statSource]string{
	statSource(fs.FromMetadata): "head",
	statSource(fs.FromListings): "list",
}

// Set parses text as pflag wants it.
func (s *statSource) Set(text string) error {
	for v, name := range statSources {
		if strings.EqualFold(text, name) {
			*s = v
			return nil
		}
	}
	return errors.New("want head or list")
}

// String prints the choice as Set reads it.
func (s *statSource) String() string { return statSources[*s] }

// Type names the kind of value in help texts.
func (s *statSource) Type() string { return "choice" }

// fileMode is permission bits, in octal.
type fileMode uint32

// Set parses text as pflag wants it.
func (m *fileMode) Set(text string) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n > 0o7777 {
		return errors.New("want octal permissions such as 0644")
	}
	*m = fileMode(n)
	return nil
}

// String prints four octal digits.
func (m *fileMode) String() string { return fmt.Sprintf("%04o", uint32(*m)) }

// Type names the kind of value in help texts.
func (m *fileMode) Type() string { return "mode" }

// logLevel is the least severe level that is logged.
type logLevel slog.Level

// Set parses text as pflag wants it.
func (l *logLevel) Set(text string) error {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[strings.ToLower(text)]
	if !ok {
		return errors.New("want debug, info, warn or error")
	}
	*l = logLevel(level)
	return nil
}

// String prints the name of the level.
func (l *logLevel) String() string { return strings.ToLower(slog.Level(*l).String()) }

// Type names the kind of value in help texts.
func (l *logLevel) Type() string { return "level" }

// optionalMode is permission bits, in octal, or nothing.
type optionalMode struct {
	given bool
	mode  uint32
}

// Set parses text as pflag wants it.
func (m *optionalMode) Set(text string) error {
	var mode fileMode
	if err := mode.Set(text); err != nil || mode > 0o777 {
		return errors.New("want octal permissions such as 022")
	}
	m.given, m.mode = true, uint32(mode)
	return nil
}

// String prints four octal digits, or nothing.
func (m *optionalMode) String() string {
	if !m.given {
		return ""
	}
	return fmt.Sprintf("%04o", m.mode)
}

// Type names the kind of value in help texts.
func (m *optionalMode) Type() string { return "mode" }

// optionalID is the number of a user or group, or nothing.
type optionalID struct {
	given bool
	id    uint32
}

// Set parses text as pflag wants it.
func (i *optionalID) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return errors.New("want the number of a user or group")
	}
	i.given, i.id = true, uint32(n)
	return nil
}

// String prints the number, or nothing.
func (i *optionalID) String() string {
	if !i.given {
		return ""
	}
	return strconv.FormatUint(uint64(i.id), 10)
}

// Type names the kind of value in help texts.
func (i *optionalID) Type() string { return "id" }

// pointer is nil if there is nothing.
func (i *optionalID) pointer() *uint32 {
	if !i.given {
		return nil
	}
	return &i.id
}
