package main

import (
	"fmt"
	"log/slog"
	"os"
	osuser "os/user"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/writeback"
)

// mountOptions is everything that can be told to a mount. Flags, environment and config file fill
// it, validate checks it once, and nothing changes it afterwards.
type mountOptions struct {
	bucket, prefix string // prefix is empty or ends in "/"
	mountpoint     string // absolute

	local           string // directory of the embedded server; empty for a real service
	region          string
	endpoint        string
	configFile      string
	credentialsFile string
	systemFile      string // credentials of COSFS for the whole machine, read if nothing else is said
	anonymous       bool
	role            string // of this machine, whose credentials are used; empty: none
	roleEndpoint    string
	secret          secret // from environment or config file

	commit     commitMode
	consistent consistency
	stat       statSource
	cacheDir   string
	staging    byteSize
	memory     byteSize
	diskCache  byteSize // 0 is none
	diskFree   byteSize
	foreground bool
	logLevel   logLevel
	logFile    string

	readOnly, allowOther, nonEmpty bool
	uid, gid                       uint32
	fileMode, dirMode              fileMode
	forceUID, forceGID             optionalID
	umask, rootMode                optionalMode
	metaTTL, negativeTTL           time.Duration
	multipartThreshold             byteSize
	threads                        int
	objects                        objectOptions

	appends    writeback.AppendMode
	exclAtOpen bool
	copyACL    bool
	relayLimit byteSize // 0 is none

	lists []string // -o lists; what follows is what only they can say
	wordOptions
}

// wordOptions are those that have no flag.
type wordOptions struct {
	mountFlags   []string // nosuid and the like
	named        string   // source as the mount table shows it; empty: our own name for it
	localSpec    bool     // --local came from -o: the source is an argument all the same
	cacheBase    string   // where the default cache directory goes; empty: as always
	dropReads    bool     // what is cached of what was read is not kept over mounts
	retries      int
	dialTimeout  time.Duration // 0: the client's default
	stallTimeout time.Duration
	userAgent    string
	sloppy, fake bool
	notes        []note
}

// addFlags binds o to flags and sets the defaults. It is the one table of the mount's options: the
// names in a config file are those of the flags.
func (o *mountOptions) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.region, "region", "", "`REGION` of the bucket, such as ap-guangzhou (environment: COS_REGION)")
	f.StringVar(&o.endpoint, "endpoint", "",
		"`URL` of the service, such as http://cos.ap-guangzhou.myqcloud.com or\nhttp://127.0.0.1:9000 (default https://cos.REGION.myqcloud.com)")
	f.StringVar(&o.local, "local", "", "keep the objects in `DIR` of this machine, served by a COS server inside the mount;\nno bucket and no account is needed, DIR is created")
	f.StringVar(&o.credentialsFile, "credentials", "", "`FILE` with secret_id, secret_key and perhaps session_token, or as COSFS reads it; mode 0600")
	f.StringVar(&o.role, "role", "", "use the temporary credentials of this machine's CAM role `NAME`; \"default\" is the first it has")
	f.StringVar(&o.roleEndpoint, "role-endpoint", "", "`URL` where machines ask for the credentials of a role (default: the instance metadata service)")
	f.BoolVar(&o.anonymous, "anonymous", false, "sign nothing: for a public bucket")
	f.StringVar(&o.configFile, "config", "", "YAML `FILE` with any of these options, without the dashes, and secret-id,\nsecret-key, session-token; flags and environment win over it")

	f.BoolVar(&o.readOnly, "read-only", false, "refuse every change")
	f.BoolVar(&o.allowOther, "allow-other", false, "let other users of this machine in, as far as the modes allow")
	f.BoolVar(&o.nonEmpty, "nonempty", false, "mount over a directory that is not empty")
	f.Uint32Var(&o.uid, "uid", uint32(os.Getuid()), "owner (`UID`) of objects that do not tell theirs (default: you)")
	f.Uint32Var(&o.gid, "gid", uint32(os.Getgid()), "group (`GID`) of objects that do not tell theirs (default: yours)")
	o.fileMode, o.dirMode = 0o644, 0o755
	f.Var(&o.fileMode, "file-mode", "octal permissions of files that do not tell theirs")
	f.Var(&o.dirMode, "dir-mode", "octal permissions of directories that do not tell theirs")

	f.Var(&o.forceUID, "force-uid", "owner (`UID`) that everything shows, whatever the objects tell")
	f.Var(&o.forceGID, "force-gid", "group (`GID`) that everything shows")
	f.Var(&o.umask, "umask", "octal `MASK`: everything shows the permissions 0777 without it, whatever the objects tell")
	f.Var(&o.rootMode, "root-mode", "octal permissions that the mounted directory itself shows")

	o.commit = commitClose
	f.Var(&o.commit, "commit", "when close returns: close = once the bucket has the bytes; background = once they are\nsafe in the cache directory, from where they are sent a moment later. fsync always\nwaits for the bucket")
	f.Var(&o.consistent, "consistency", "what open takes for a file's present version: close-to-open = what the bucket confirmed within the\nlast second, or it is asked; relaxed = what it confirmed within --meta-ttl; strict = as close-to-open,\nand names and attributes are asked for every time, whatever the TTLs")
	f.Var(&o.stat, "stat", "where modes, owners, times and links come from: head = the objects, each asked once for each version;\nlist = nowhere: all are regular files with the defaults and the time the bucket got them, and no\nrequest but listings is made to show them. For buckets whose objects carry none")
	f.DurationVar(&o.metaTTL, "meta-ttl", time.Minute, "how long names and attributes are trusted; 0s asks every time")
	f.DurationVar(&o.negativeTTL, "negative-ttl", 5*time.Second, "how long a name that was absent is taken as absent")
	o.memory = 256 << 20
	f.Var(&o.memory, "memory", "memory for cached blocks, three quarters of it, and for listings and attributes")
	o.diskCache, o.diskFree = 10<<30, 1<<30
	f.Var(&o.diskCache, "disk-cache-size", "what was read is kept in the cache directory, up to so much, and up to 64 MiB of attributes;\n0 keeps nothing")
	f.Var(&o.diskFree, "disk-cache-min-free", "space that what is kept there leaves on the filesystem")
	o.multipartThreshold = 20 << 20
	f.Var(&o.multipartThreshold, "multipart-threshold", "larger files are uploaded in parts, 1MiB to 5GiB")
	f.Var(&o.staging, "staging", "most bytes that uncommitted files may take in the cache directory: past them writers\nwait, then get ENOSPC; 0B is as many as its disk holds")
	f.IntVar(&o.threads, "threads", 8, "parts of one file uploaded at the same time, 1 to 256")

	o.addWriteFlags(f)
	o.objects.addFlags(f)

	f.StringVar(&o.cacheDir, "cache-dir", "", "`DIR` for what is not committed yet, what was read, and the log (default: one per bucket and prefix in\n/var/cache/cosfuse for root, else in $XDG_CACHE_HOME/cosfuse or ~/.cache/cosfuse)")
	f.BoolVarP(&o.foreground, "foreground", "f", false, "stay in the foreground; Ctrl-C unmounts")
	f.Var(&o.logLevel, "log-level", "debug, info, warn or error")
	f.StringArrayVarP(&o.lists, "options", "o", nil, "`LIST` of options with commas between them: those of mount(8), those of COSFS, and these here without\nthe dashes, as in -o ro,allow_other,region=ap-guangzhou")
	f.StringVar(&o.logFile, "log-file", "", "`FILE` for the log (default: cosfuse.log in the cache directory, with --foreground\nstandard error)")
}

// load fills o from the arguments and, where no flag was given, the environment and the config file;
// f is the parsed set that o was bound to.
func (o *mountOptions) load(f *pflag.FlagSet, args []string, getenv func(string) string) error {
	if o.configFile != "" {
		if err := o.readConfig(f); err != nil {
			return err
		}
	}
	if v := getenv("COS_REGION"); v != "" && !f.Changed("region") {
		o.region = v
	}
	o.chooseCredentials(f, environmentSecret(getenv), getenv)
	target, mountpoint := "", args[len(args)-1]
	if len(args) > 1 {
		target = args[0]
	}
	if o.localSpec && o.local == "" {
		o.local = target
	}
	return o.validate(target, mountpoint, getenv)
}

// validate checks the whole of o, makes paths absolute and fills in what follows from the rest.
func (o *mountOptions) validate(target, mountpoint string, getenv func(string) string) error {
	if err := o.validateService(target); err != nil {
		return err
	}
	if err := o.validateCredentials(); err != nil {
		return err
	}
	if err := o.validateNumbers(); err != nil {
		return err
	}
	if err := o.objects.validate(); err != nil {
		return err
	}
	o.mountpoint = mountpoint
	if o.cacheDir == "" {
		dir, err := o.defaultCacheDir(getenv)
		if err != nil {
			return err
		}
		o.cacheDir = dir
	}
	for _, p := range []*string{&o.mountpoint, &o.cacheDir, &o.logFile, &o.credentialsFile, &o.configFile, &o.local} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return machineError("use absolute paths", "working directory: %w", err)
		}
		*p = abs
	}
	return nil
}

// validateService checks what names the bucket.
func (o *mountOptions) validateService(target string) (err error) {
	if o.local != "" {
		if o.endpoint != "" || o.credentialsFile != "" || o.anonymous || o.role != "" {
			return usageError("leave out --endpoint, --credentials, --role and --anonymous",
				"--local brings a server and credentials of its own")
		}
		o.bucket, o.region, o.secret = cosserver.DefaultBucket, cosserver.DefaultRegion, secret{}
		return nil
	}
	if o.bucket, o.prefix, err = parseTarget(target); err != nil {
		return err
	}
	named, address := "", false
	if o.endpoint != "" {
		if named, address, err = parseEndpoint(o.endpoint); err != nil {
			return err
		}
	}
	switch {
	case o.region == "" && named != "":
		o.region = named
	case o.region == "" && (o.endpoint == "" || address):
		return usageError("use --region, or set COS_REGION; the console shows the bucket's, such as ap-guangzhou",
			"the region is missing")
	case o.region == "":
		return nil // a domain of somebody's own, which needs none
	case named != "" && named != o.region:
		return usageError("leave one of them out", "--endpoint names region %s and --region %s", named, o.region)
	}
	return checkRegion(o.region)
}

// validateNumbers checks ranges.
func (o *mountOptions) validateNumbers() error {
	switch {
	case o.metaTTL < 0 || o.negativeTTL < 0:
		return usageError("0s asks the service every time", "--meta-ttl and --negative-ttl cannot be negative")
	case o.memory < 16<<20:
		return usageError("use at least 16MiB", "--memory %v is too little", &o.memory)
	case o.multipartThreshold < 1<<20 || o.multipartThreshold > 5<<30:
		return usageError("use 1MiB to 5GiB", "--multipart-threshold %v is out of range", &o.multipartThreshold)
	case o.threads < 1 || o.threads > 256:
		return usageError("use 1 to 256", "--threads %d is out of range", o.threads)
	}
	return nil
}

// fsName is the source that the mount table shows. What mount(8) was given it must show as it was: by that,
// "mount -a" knows what is mounted already.
func (o *mountOptions) fsName() string {
	if o.named != "" {
		return o.named
	}
	return o.source()
}

// shown is what the mount tells in place of what objects do.
func (o *mountOptions) shown() fs.Shown {
	s := fs.Shown{UID: o.forceUID.pointer(), GID: o.forceGID.pointer()}
	if o.umask.given {
		perm := 0o777 &^ o.umask.mode
		s.Perm = &perm
	}
	if o.rootMode.given {
		s.RootPerm = &o.rootMode.mode
	}
	return s
}

// source names what is mounted, for messages.
func (o *mountOptions) source() string {
	switch {
	case o.local != "":
		return o.local
	case o.prefix != "":
		return o.bucket + ":/" + o.prefix[:len(o.prefix)-1]
	}
	return o.bucket
}

// settings are the effective options, for the log. There is no secret among the flags.
func settings(f *pflag.FlagSet) slog.Attr {
	var attrs []any
	f.VisitAll(func(flag *pflag.Flag) {
		if v := flag.Value.String(); v != "" && flag.Name != "help" {
			attrs = append(attrs, slog.String(flag.Name, v))
		}
	})
	return slog.Group("settings", attrs...)
}

// homeDir is HOME, or without it, as under mount(8), what the system has for this user; "" is none.
func homeDir(getenv func(string) string) string {
	if home := getenv("HOME"); home != "" {
		return home
	}
	me, err := osuser.Current()
	if err != nil {
		return ""
	}
	return me.HomeDir
}

// defaultCacheDir is one directory per user and mounted thing. Two prefixes of a bucket, or buckets
// of one name at two services, do not share.
func (o *mountOptions) defaultCacheDir(getenv func(string) string) (string, error) {
	base := getenv("XDG_CACHE_HOME")
	switch {
	case o.cacheBase != "":
		base = o.cacheBase
	case base != "" && filepath.IsAbs(base):
		base = filepath.Join(base, "cosfuse")
	case os.Getuid() == 0:
		base = "/var/cache/cosfuse"
	case homeDir(getenv) != "":
		base = filepath.Join(homeDir(getenv), ".cache", "cosfuse")
	default:
		return "", usageError("use --cache-dir DIR", "there is no HOME to keep the cache directory in")
	}
	if o.local != "" {
		abs, err := filepath.Abs(o.local)
		if err != nil {
			return "", machineError("use absolute paths", "working directory: %w", err)
		}
		return filepath.Join(base, "local-"+shortHash(abs)), nil
	}
	where := service(o.endpoint)
	if o.prefix == "" && where == "" {
		return filepath.Join(base, o.bucket), nil
	}
	return filepath.Join(base, fmt.Sprintf("%s-%s", o.bucket, shortHash(where+"\x00"+o.prefix))), nil
}
