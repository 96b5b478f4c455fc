package fs

import (
	"errors"
	"log/slog"
	"time"

	"cosfuse/cache"
	"cosfuse/cos"
	"cosfuse/writeback"
)

// Options of Mount. Client and Store are required; the zero value of everything else is a sane
// default.
type Options struct {
	Client *cos.Client
	Store  *writeback.Store // of the same bucket; the caller closes it after Wait

	// Blocks is the Store's cache. Small files are fetched into it before they are read; nil: not.
	Blocks *cache.Blocks

	// MemoryBytes bounds what is remembered of names and attributes: half of it listings, the rest what was
	// told of single keys. 0 is 128 MiB. Less costs requests in large directories. What the kernel knows
	// of besides, about 1.5 KB a name, is its own decision.
	MemoryBytes int64

	// Prefix is the part of the bucket to show: "" is all of it, else it ends in "/".
	Prefix string
	// Defaults are the attributes of objects that carry none.
	Defaults writeback.AttrDefaults
	// Shown replaces attributes of all objects.
	Shown Shown

	// MetaTTL is how old names and attributes may be. 0 is 60 s; negative is no time at all. Less
	// costs requests.
	MetaTTL time.Duration
	// NegativeTTL is how long a name is believed absent. 0 is 5 s; negative is no time at all.
	NegativeTTL time.Duration

	// Consistency says how sure open(2) is that nobody else has replaced the object.
	Consistency Consistency

	// Attributes says where what stat(2) shows comes from.
	Attributes AttributeSource

	ReadOnly   bool // the kernel refuses changes with EROFS
	AllowOther bool // other users may use the mount; needs user_allow_other in fuse.conf unless root
	// MountFlags are words such as "noexec", of which IsMountFlag is true; the last of two opposites
	// counts. The default is nosuid and nodev, which only root can do without.
	MountFlags []string

	// FsName is the first column of df. "" is "cosfuse".
	FsName string
	// Fusermount mounts through fusermount3, as a user who is not root must. Root calls mount(2).
	Fusermount bool

	// Attrs keeps attributes for later mounts; its Made belongs into the Store's options. nil: they are asked
	// for anew by each mount.
	Attrs *Attrs

	// Changes carries what changed behind the kernel's back; its Add belongs into the Store's
	// options. nil: the kernel learns of such changes at the next open or after MetaTTL.
	Changes *Changes

	Logger *slog.Logger // nil discards
	Debug  bool         // log every request of the kernel, at level debug
	Now    func() time.Time
}

// Consistency is what open(2) takes for the present version of a file.
type Consistency int

// Strict is CloseToOpen with no time at all in which names and attributes are believed.
const (
	CloseToOpen Consistency = iota // what the service confirmed within the last second: else it is asked
	Strict                         // the same, and MetaTTL and NegativeTTL are none
	Relaxed                        // what the service, or a listing, confirmed within MetaTTL
)

// AttributeSource is where modes, owners, times and types of objects come from.
type AttributeSource int

// With FromListings no object is asked for its metadata in order to be shown: all are regular files with the
// default modes and owner and the time at which the service got them. Objects keep their metadata, and what
// is set here is given to them, but does not show once it is sent.
const (
	FromMetadata AttributeSource = iota // HEAD, once for each version
	FromListings
)

// Defaults and bounds that are no options.
const (
	defaultMetaTTL     = time.Minute
	defaultNegativeTTL = 5 * time.Second
	defaultMemoryBytes = 128 << 20
	maxInflightBytes   = 256 << 20
	maxWriteBytes      = 1 << 20
	maxBackground      = 128
	statFanOut         = 64 // HEADs in flight for names that nobody has waited for yet
)

// What is remembered costs about so many bytes: an entry of a listing, the attributes of a key, and an entry of
// one of the smaller tables.
const (
	entryBytes  = 150
	factBytes   = 800
	smallBytes  = 200
	smallTables = 3
)

// maxEntries is how many entries of listings are remembered.
func (o *Options) maxEntries() int { return int(o.MemoryBytes / 2 / entryBytes) }

// maxFacts is how many keys' attributes are.
func (o *Options) maxFacts() int { return int(o.MemoryBytes * 3 / 8 / factBytes) }

// maxSmall is how many entries each of the smaller tables has.
func (o *Options) maxSmall() int { return int(o.MemoryBytes / 8 / smallTables / smallBytes) }

var errOptions = errors.New("fs options")

func (o Options) withDefaults() (Options, error) {
	if o.Client == nil || o.Store == nil {
		return o, errors.Join(errOptions, errors.New("without Client or Store"))
	}
	if o.Prefix != "" && !isDirKey(o.Prefix) {
		return o, errors.Join(errOptions, errors.New("the prefix is neither empty nor ends in a slash"))
	}
	if o.MetaTTL == 0 {
		o.MetaTTL = defaultMetaTTL
	}
	if o.NegativeTTL == 0 {
		o.NegativeTTL = defaultNegativeTTL
	}
	if o.Consistency == Strict {
		o.MetaTTL, o.NegativeTTL = -1, -1
	}
	o.MetaTTL, o.NegativeTTL = max(o.MetaTTL, 0), max(o.NegativeTTL, 0)
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = defaultMemoryBytes
	}
	if o.FsName == "" {
		o.FsName = "cosfuse"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}
