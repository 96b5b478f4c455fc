// Package apps runs programs that nobody here wrote on real mounts, and looks at what they left after a
// remount with empty caches.
//
// Most cases are a pair of shell scripts: one that does something, and one that checks it. Each leaves the
// mount as it is between the two, so the check sees what is in the bucket and nothing else.
package apps
