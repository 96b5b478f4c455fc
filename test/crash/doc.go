// Package crash kills mounts and wants every acknowledged byte, name and attribute back: at each failpoint
// that each workload passes, during recovery too, and at random moments under the load of several workers.
// Power cuts are played on copies of the cache directory that lack what was not synced.
package crash
