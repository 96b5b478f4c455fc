// Command bench measures cosfuse beside what it can be compared with, on one server and in one run:
//
//	go run ./test/bench
//
// It starts the embedded server in a process of its own, as far away and as fast a connection as
// -latency and -bandwidth say, fills a bucket, and carries out each workload with each subject: cosfuse, the
// client of package cos alone with as many connections and no mount, and s3fs and rclone if they are
// installed. A table of Markdown goes to standard output; progress goes to standard error.
//
// A row tells the time, the CPU time and the peak memory of the process that serves the mount (of the
// client alone: of its process), the bytes of objects received and sent, and the requests that reached the
// server. What writes is measured until the mount has ended, so that everything is in the bucket. Requests
// and bytes are exact and the same on every machine; times mean something beside each other only.
//
// It needs /dev/fuse and root (or fusermount3). Nothing outside of its scratch directory is changed.
package main
