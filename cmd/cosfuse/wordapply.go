package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// applier is what mountWord.apply is.
type applier = func(w *wordSettings, value string) error

// hands gives the value to an option of ours.
func hands(name string) applier {
	return func(w *wordSettings, value string) error {
		w.set[name] = value
		return nil
	}
}

// sets gives an option of ours a value.
func sets(name, value string) applier {
	return func(w *wordSettings, _ string) error {
		w.set[name] = value
		return nil
	}
}

// quiet is for words that ask nothing of us and need no mention.
func quiet(*wordSettings, string) error { return nil }

// number reads a count that is not negative.
func number(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, errors.New("want a number")
	}
	return int(n), nil
}

// seconds hands a number of seconds to a duration of ours. Fractions are fine: libfuse takes them.
func seconds(name string) applier {
	return func(w *wordSettings, value string) error {
		s, err := strconv.ParseFloat(value, 64)
		if err != nil || s < 0 || s > maxSeconds {
			return errors.New("want a number of seconds")
		}
		w.set[name] = time.Duration(s * float64(time.Second)).String()
		return nil
	}
}

// maxSeconds is a century: more does not fit a duration for long.
const maxSeconds = 100 * 365 * 24 * 3600

func duration(value string) (time.Duration, error) {
	n, err := number(value)
	if err != nil || n > maxSeconds {
		return 0, errors.New("want a number of seconds")
	}
	return time.Duration(n) * time.Second, nil
}

func mebibytes(name string) applier {
	return func(w *wordSettings, value string) error {
		n, err := number(value)
		w.set[name] = fmt.Sprintf("%dMiB", n)
		return err
	}
}

// rootMask is a mask for the top directory alone.
func rootMask(w *wordSettings, value string) error {
	var mask optionalMode
	if err := mask.Set(value); err != nil {
		return err
	}
	w.set["root-mode"] = fmt.Sprintf("%04o", 0o777&^mask.mode)
	return nil
}

// defaultPermission is for files and directories. COSFS takes a directory without x bits for what it is; one
// that nobody can enter helps nobody.
func defaultPermission(w *wordSettings, value string) error {
	var mode fileMode
	if err := mode.Set(value); err != nil || mode > 0o777 {
		return errors.New("want octal permissions such as 644")
	}
	dir := mode | mode&0o444>>2
	w.set["file-mode"], w.set["dir-mode"] = mode.String(), dir.String()
	return nil
}

// endpointOrRegion tells COSFS's endpoint, which is a region, from ours, which is a URL.
func endpointOrRegion(w *wordSettings, value string) error {
	if regionName.MatchString(value) {
		w.set["region"] = value
		return nil
	}
	w.set["endpoint"] = value
	return nil
}

func publicBucket(w *wordSettings, value string) error {
	switch value {
	case "1":
		w.set["anonymous"] = "true"
	case "0":
		w.set["anonymous"] = "false"
	default:
		return errors.New("want 0 or 1")
	}
	return nil
}

func useCache(w *wordSettings, value string) error {
	if !filepath.IsAbs(value) {
		return errors.New("want an absolute path")
	}
	w.o.cacheBase = filepath.Join(value, "cosfuse")
	return nil
}

func delCache(w *wordSettings, _ string) error {
	w.o.dropReads = true
	return nil
}

func retries(w *wordSettings, value string) (err error) {
	w.o.retries, err = number(value)
	return err
}

func dialTimeout(w *wordSettings, value string) (err error) {
	w.o.dialTimeout, err = duration(value)
	return err
}

func stallTimeout(w *wordSettings, value string) (err error) {
	w.o.stallTimeout, err = duration(value)
	return err
}

func userAgent(w *wordSettings, value string) error {
	if strings.ContainsFunc(value, notPrintable) {
		return errors.New("want printable characters without blanks")
	}
	w.o.userAgent = "cosfuse-" + value
	return nil
}

// dbgLevels are COSFS's words for levels of the log.
var dbgLevels = map[string]string{
	"silent": "error", "critical": "error", "crit": "error", "error": "error", "err": "error",
	"wan": "warn", "warn": "warn", "warning": "warn", "inf": "info", "info": "info", "information": "info",
	"dbg": "debug", "debug": "debug",
}

func dbgLevel(w *wordSettings, value string) error {
	level, ok := dbgLevels[strings.ToLower(value)]
	if !ok {
		return errors.New("want crit, err, warn, info or dbg")
	}
	w.set["log-level"] = level
	return nil
}

// storageClass knows COSFS's spellings, of which one is of a class that COS does not have.
func storageClass(w *wordSettings, value string) error {
	switch value {
	case "standard", "standard_ia":
		value = strings.ToUpper(value)
	case "reduced_redundancy":
		return reducedRedundancy(w, "1")
	}
	w.set["storage-class"] = value
	return nil
}

func reducedRedundancy(w *wordSettings, value string) error {
	if value != "" && value != "0" && value != "1" {
		return errors.New("want 0 or 1")
	}
	w.set["storage-class"] = "STANDARD"
	return nil
}

// useSSE takes "", "1", and "kmsid" or "k" with a key's ID.
func useSSE(w *wordSettings, value string) error {
	kind, id, _ := strings.Cut(value, ":")
	switch {
	case value == "" || value == "1":
		w.set["sse"] = "AES256"
	case kind != "kmsid" && kind != "k":
		return ownKeys(w, value)
	case id == "":
		w.set["sse"] = "cos/kms"
	default:
		w.set["sse"] = "cos/kms:" + id
	}
	return nil
}

func ownKeys(*wordSettings, string) error {
	return errors.New("encryption with keys of one's own is not offered: use_sse, or use_sse=kmsid:ID, leaves them to COS")
}

func headerFile(w *wordSettings, value string) (err error) {
	w.o.objects.made.Properties, err = readHeaders(value)
	return err
}

func fsName(w *wordSettings, value string) error {
	w.o.named = value
	return nil
}

func localDir(w *wordSettings, value string) error {
	w.o.localSpec = true
	w.set["local"] = value // empty: the source names it
	return nil
}

func fake(w *wordSettings, _ string) error {
	w.o.fake = true
	return nil
}

func remount(*wordSettings, string) error {
	return errors.New("options cannot be changed while it is mounted: unmount, and mount again")
}
