// Package sdk runs Tencent's own Go SDK against the embedded server.
//
// The server and our client share their reading of the COS interface, so a mistake in it would go
// unnoticed between the two. The SDK is a reader we did not write: what it signs the server must
// accept, what the server answers the SDK must understand, with its checksums switched on, and what
// our client signs the SDK must sign alike.
//
// It is a module of its own, so that the SDK's dependencies never enter the main one.
package sdk
