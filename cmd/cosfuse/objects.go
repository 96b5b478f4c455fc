package main

import (
	"errors"
	"path"
	"strings"

	"github.com/spf13/pflag"

	"cosfuse/cos"
	"cosfuse/writeback"
)

// objectOptions say what objects get that the mount makes, and how fast they travel.
type objectOptions struct {
	made    writeback.NewObjects
	classes classRules
	sse     encryption
	traffic byteSize // a second, of each connection; 0 is no limit
}

// addFlags binds o to flags.
func (o *objectOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.made.ContentType, "content-type", "", "`TYPE` of new files whose name suggests none (default application/octet-stream)")
	f.StringVar(&o.made.CacheControl, "cache-control", "", "Cache-Control `TEXT` of new files")
	f.Var(&o.classes, "storage-class", "`[PATTERN=]CLASS` of new files, such as STANDARD_IA or \"*.log=COLD\"; repeat it, or separate\nwith commas: the first that matches counts. A pattern with a slash is about the whole path")
	f.StringVar(&o.made.ACL, "acl", "", "`ACL` of new objects, such as private or public-read (default: the bucket's)")
	f.Var(&o.sse, "sse", "encryption of new objects: AES256 or cos/kms[:KEY-ID]")
	f.Var(&o.traffic, "traffic-limit", "bytes a second that one transfer may take, 100KiB to 100MiB; 0B is no limit")
}

// The limits that COS sets to its limit of traffic, in bytes a second.
const (
	minTraffic = 100 << 10
	maxTraffic = 100 << 20
)

// validate checks what the service would refuse later, when somebody's file is to be committed.
func (o *objectOptions) validate() error {
	for name, text := range map[string]string{"content-type": o.made.ContentType, "cache-control": o.made.CacheControl} {
		if text == "" {
			continue
		}
		if err := writeback.CheckHeader(text); err != nil {
			return usageError("use what a header can carry", "--%s: %w", name, err)
		}
	}
	if o.made.ACL != "" {
		if err := writeback.CheckACL(o.made.ACL); err != nil {
			return usageError("see \"cosfuse mount --help\"", "--acl: %w", err)
		}
	}
	if o.traffic != 0 && (o.traffic < minTraffic || o.traffic > maxTraffic) {
		return usageError("use 100KiB to 100MiB", "--traffic-limit %v is out of range", &o.traffic)
	}
	o.made.Classes, o.made.SSE = o.classes, cos.SSE(o.sse)
	return nil
}

// classRules is the value of --storage-class.
type classRules []writeback.ClassRule

// Set adds rules, as pflag wants it.
func (c *classRules) Set(text string) error {
	for item := range strings.SplitSeq(text, ",") {
		rule := writeback.ClassRule{Class: strings.TrimSpace(item)}
		if i := strings.LastIndexByte(item, '='); i >= 0 {
			rule.Pattern, rule.Class = strings.TrimSpace(item[:i]), strings.TrimSpace(item[i+1:])
			if rule.Pattern == "" {
				return errors.New("want a pattern such as *.log before the equals sign")
			}
		}
		rule.Class = strings.ToUpper(rule.Class)
		if _, err := path.Match(rule.Pattern, ""); err != nil {
			return err
		}
		if err := writeback.CheckStorageClass(rule.Class); err != nil {
			return err
		}
		*c = append(*c, rule)
	}
	return nil
}

// String prints the rules as Set reads them.
func (c *classRules) String() string {
	var out []string
	for _, r := range *c {
		text := r.Class
		if r.Pattern != "" {
			text = r.Pattern + "=" + text
		}
		out = append(out, text)
	}
	return strings.Join(out, ",")
}

// Type names the kind of value in help texts.
func (c *classRules) Type() string { return "class" }

// encryption is the value of --sse.
type encryption cos.SSE

// Set parses text as pflag wants it.
func (e *encryption) Set(text string) error {
	algorithm, key, keyed := strings.Cut(text, ":")
	if algorithm != "AES256" && algorithm != "cos/kms" || keyed && (algorithm == "AES256" || key == "") {
		return errors.New("want AES256, cos/kms or cos/kms:KEY-ID")
	}
	*e = encryption{Algorithm: algorithm, KMSKeyID: key}
	return nil
}

// String prints the choice as Set reads it.
func (e *encryption) String() string {
	if e.KMSKeyID == "" {
		return e.Algorithm
	}
	return e.Algorithm + ":" + e.KMSKeyID
}

// Type names the kind of value in help texts.
func (e *encryption) Type() string { return "algorithm" }
