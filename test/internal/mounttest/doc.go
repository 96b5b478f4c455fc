// Package mounttest mounts buckets of the embedded server for tests, and mounts them again with
// empty caches.
//
// A test process that uses its own mount must not let the runtime block: what inherits descriptors
// of the mount, runs in it or maps its files belongs into a child process.
package mounttest
