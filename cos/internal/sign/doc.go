// Package sign computes and takes apart COS request signatures (q-sign-algorithm=sha1).
//
// A signature covers the lower-cased method, the decoded path, and the query parameters and headers
// that it names. The same functions serve both sides: the client signs all it chose to send, a
// server Parses what arrived, Selects the named parameters and headers, and computes the Signature
// again. Nothing here blocks or keeps state; all functions are safe for concurrent use.
package sign
