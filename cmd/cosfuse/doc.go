// Command cosfuse mounts a Tencent COS bucket, or a prefix of one, as a directory.
//
// The verbs are mount, umount, status, sync, recover, cache, warmup, refresh, serve, install and version; "cosfuse
// help VERB" explains each with examples.
//
// Called mount.cosfuse or umount.fuse.cosfuse it is the helper of mount(8) and umount(8), and exits as those
// expect: 0, 1 for usage, 32 for all else. Called cosfs it takes the command line of COSFS; COSFS.md lists
// what becomes of its options.
//
// A mount is one process, the daemon. Unless --foreground is given, "cosfuse mount" starts it in a
// session of its own and returns once the mount answers, or with the daemon's error. The daemon ends
// when it is unmounted by any means or gets SIGTERM or SIGINT, and only after it has committed what
// was written; "cosfuse umount" waits for that and says what could not be committed.
//
// Options come from flags, then the environment, then a YAML config file, then the defaults, and are
// validated together before anything is done. Secrets come from files and the environment only: a
// command line is visible to every user of the machine.
//
// A daemon owns one cache directory. In it are
//
//	daemon.lock   locked while the daemon lives; tells its process, mountpoint, state and outcome
//	origin.json   the bucket and prefix it is of, and how they are reached; it is refused for any other
//	journal/      what is acknowledged and not committed; see package writeback
//	staging/      the bytes of it
//	blocks/       what was read, to be read again; nothing is lost with it
//	control.sock  the daemon answers here, root and its own user alone: HTTP and JSON below /v1
//	cosfuse.log   its log, unless --log-file names another
//
// The lock is shared by commands that look into the directory of a dead daemon; a daemon that starts
// waits for them. In a runtime directory, a small file leads from the mountpoint to the cache directory.
//
// # Exit codes
//
//	0  done
//	1  interrupted, or an error that fits none of the others
//	2  usage: a flag, an argument, the config file or the credentials are wrong or missing
//	3  this machine: mountpoint, /dev/fuse, fusermount3, cache directory, address in use
//	4  the service: bucket, credentials, permissions, endpoint or network
//	5  something that was written could not be committed
package main
