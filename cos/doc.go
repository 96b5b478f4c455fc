// Package cos is a client for the Tencent Cloud Object Storage (COS) XML API.
//
// A Client speaks for one bucket. Each operation of the API is one typed method; Upload is the
// high-level one that chooses between a simple put and a multipart upload and resumes what was
// interrupted. Bodies are io.ReaderAt, so every attempt can resend the same bytes.
//
// What the client promises, beyond the wire format:
//
//   - An attempt is repeated only when repeating is safe. An append, a complete and a create-only
//     put whose reply was lost are settled by looking at the object, never by sending them again
//     blindly.
//   - Success means success: a 200 that carries an error document, a truncated or empty body, a
//     checksum or a length that does not match are errors.
//   - Errors are *Error and wrap a sentinel (ErrNotFound, ErrPrecondition, ...): compare with
//     errors.Is, never by text.
//   - No total time-out: a transfer may take as long as bytes keep moving. One that stalls is ended
//     by a watchdog. Every method blocks until done and honours its context.
//
// A Client is safe for concurrent use.
package cos
