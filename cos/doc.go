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
//     errors.Is, never by text. ErrUnknownOutcome comes together with the cause.
//   - No total time-out: a transfer may take as long as bytes keep moving. One that stalls is ended
//     by a watchdog. Every method blocks until done and honours its context.
//   - A body given to a method is not read any more once the method has returned.
//
// What is sent again, with the header X-Cos-Sdk-Retry, after a random part of a delay that doubles:
//
//   - Reads, part uploads, part copies, initiates, puts, copies, deletes: on a broken connection, on
//     5xx, on an answer that is not whole, and on a request that the service got too slowly.
//   - Append: only when HEAD shows that the object has not grown; its position refuses one of two.
//   - Complete: only when ListParts shows that the upload is still open.
//   - Puts and copies that forbid overwriting: as any, but "exists" is then held against the bytes.
//
// An attempt is in doubt only if its whole body went out. A lost put or copy that was repeated
// successfully is reported in the result as Unclear, since the first may still apply, late.
//
// A 503 makes all operations of a Client share fewer attempts in flight until successes open the
// way again. A local clock that is off is noticed by the Date of any answer and corrected for.
// Credentials come from a Provider and are renewed aside, before they expire. Redirects are never
// followed, and answers are bounded: listings and other documents to 8 MiB, errors to 64 KiB.
//
// A Client is safe for concurrent use.
package cos
