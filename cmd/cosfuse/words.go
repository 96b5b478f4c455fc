package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"cosfuse/writeback"
)

// word is one of the values that a flag takes, and what it stands for.
type word[T comparable] struct {
	text  string
	means T
}

// words is a flag that takes one of a few words.
type words[T comparable] struct {
	to   *T
	list []word[T]
}

var _ pflag.Value = words[bool]{}

// Set parses text as pflag wants it.
func (w words[T]) Set(text string) error {
	var known []string
	for _, word := range w.list {
		if strings.EqualFold(text, word.text) {
			*w.to = word.means
			return nil
		}
		known = append(known, word.text)
	}
	last := len(known) - 1
	return errors.New("want " + strings.Join(known[:last], ", ") + " or " + known[last])
}

// String prints the value as Set reads it.
func (w words[T]) String() string {
	for _, word := range w.list {
		if *w.to == word.means {
			return word.text
		}
	}
	return ""
}

// Type names the kind of value in help texts.
func (w words[T]) Type() string { return "choice" }

// appendWords are the values of --append.
var appendWords = []word[writeback.AppendMode]{
	{"auto", writeback.AppendAuto}, {"always", writeback.AppendAlways}, {"never", writeback.AppendNever},
}

// exclWords are the values of --excl, by whether open settles an exclusive creation.
var exclWords = []word[bool]{{"close", false}, {"open", true}}

// yesNo are the values of a flag that costs something either way.
var yesNo = []word[bool]{{"yes", true}, {"no", false}}

// addWriteFlags binds what decides how changes reach the bucket.
func (o *mountOptions) addWriteFlags(f *pflag.FlagSet) {
	f.Var(words[writeback.AppendMode]{&o.appends, appendWords}, "append",
		"which changes are sent as appends: auto = what was written with O_APPEND, to a new file or one\n"+
			"that was only ever appended to; always = besides, whatever is written behind the end of such a\n"+
			"file; never = none, for buckets or tools that cannot stand appendable objects")
	f.Var(words[bool]{&o.exclAtOpen, exclWords}, "excl",
		"when a file created with O_EXCL is made in the bucket, so that of two mounts one succeeds:\n"+
			"close = with its bytes, so that the loser hears of it from close; open = at once, for one more request")
	o.copyACL = true
	f.Var(words[bool]{&o.copyACL, yesNo}, "copy-acl",
		"ask for ACL and tags of an object, once, before it is replaced, renamed or changed in part, and keep\n"+
			"them: no = it gets those of something new, and nothing is asked")
	o.relayLimit = 1 << 30
	f.Var(&o.relayLimit, "relay-limit",
		"largest file that is carried through this machine where the bucket refuses to copy it, as it may with\n"+
			"appendable objects; 0B carries none, and renaming or changing such a file fails")
}

// storeOptions are those of the Store that --append and its like decide.
func (o *mountOptions) storeOptions() writeback.Options {
	s := writeback.Options{
		Background: o.commit == commitBackground, MultipartThreshold: int64(o.multipartThreshold), PartThreads: o.threads,
		StagingBytes: int64(o.staging), Appends: o.appends, ClaimAtOpen: o.exclAtOpen, IgnoreACL: !o.copyACL,
		RelayLimit: int64(o.relayLimit), NewObjects: o.objects.made,
	}
	if s.RelayLimit == 0 {
		s.RelayLimit = -1 // 0 would be the default
	}
	return s
}
