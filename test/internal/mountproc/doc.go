// Package mountproc mounts buckets in processes of their own, so that tests can kill them.
//
// The process is the test's own binary: TestMain calls Main, which serves a mount and does not return if
// the process was started by Start. Test and mount talk over the pipes of standard input and output;
// when the test dies, its mounts detach and end.
package mountproc
