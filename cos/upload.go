package cos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// UploadOptions of Upload and UploadFile.
type UploadOptions struct {
	PutOptions       // ContentMD5 counts for a simple put only; EnableMD5 and TrafficLimit for each part
	Threshold  int64 // larger sizes go as multipart; 0 = 20 MiB
	PartBytes  int64 // 0 = 16 MiB, doubled until MaxParts suffice; raised to what the limits demand
	Threads    int   // parts in flight; 0 = 5
	NoResume   bool  // always start anew, and abort the upload if it fails
}

// Defaults of UploadOptions.
const (
	defaultThreshold = 20 << 20
	defaultPartBytes = 16 << 20
	defaultThreads   = 5
	// abortTimeout bounds the attempt to clean up after a failure.
	abortTimeout = 30 * time.Second
)

// Upload stores an object of size bytes, by one put or, over Threshold, by a multipart upload whose
// parts go in parallel.
//
// Unless NoResume is set it continues an unfinished multipart upload of the same key and storage
// class: a listed part is kept if its size fits and its ETag is the MD5 of the local bytes, and sent
// again otherwise. The headers are then those that upload was begun with. A failed upload stays open
// for the next try, and is billed until then or until it is aborted.
//
// Parts are checked as they are sent and the whole object's CRC64 at the end. Progress is called
// once for what was resumed and then for each part.
func (c *Client) Upload(ctx context.Context, key string, body io.ReaderAt, size int64, o *UploadOptions) (*PutResult, error) {
	return c.upload(ctx, key, body, size, o, func() error { return nil })
}

// UploadFile is Upload of a regular file. If its size or modification time changes meanwhile, the
// object is not made, the upload is aborted and the error is ErrSourceChanged. (A simple put may
// have replaced the object by then.)
func (c *Client) UploadFile(ctx context.Context, key, path string, o *UploadOptions) (*PutResult, error) {
	const op = "UploadFile"
	f, err := os.Open(path)
	if err != nil {
		return nil, refuse(op, key, err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, refuse(op, key, err)
	}
	if !before.Mode().IsRegular() {
		return nil, refuse(op, key, fmt.Errorf("%w: %s is not a regular file", ErrInvalidArgument, path))
	}
	unchanged := func() error {
		now, err := f.Stat()
		if err != nil {
			return err
		}
		if now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()) {
			return fmt.Errorf("%w: %s", ErrSourceChanged, path)
		}
		return nil
	}
	return c.upload(ctx, key, f, before.Size(), o, unchanged)
}

func (c *Client) upload(ctx context.Context, key string, body io.ReaderAt, size int64, o *UploadOptions, unchanged func() error) (*PutResult, error) {
	const op = "Upload"
	if o == nil {
		o = &UploadOptions{}
	}
	if size <= orDefault(o.Threshold, defaultThreshold) && size <= MaxPutBytes {
		res, err := c.Put(ctx, key, body, size, &o.PutOptions)
		if err != nil {
			return nil, err
		}
		if err := unchanged(); err != nil {
			return nil, refuse(op, key, err)
		}
		return res, nil
	}
	if size > MaxObjectBytes {
		return nil, refuse(op, key, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, size, int64(MaxObjectBytes)))
	}
	u := &upload{
		c: c, o: o, key: key, body: body, size: size,
		partBytes: partBytesFor(size, o.PartBytes),
		progress:  progress{report: o.Progress, total: size},
	}
	res, err := u.run(ctx, unchanged)
	if err != nil {
		u.abandon(ctx, err)
		return nil, err
	}
	return res, nil
}

// partBytesFor is the part size for an object: as wanted where the limits allow it.
func partBytesFor(size, want int64) int64 {
	if want > 0 {
		need := (size + MaxParts - 1) / MaxParts
		need = (need + MinPartBytes - 1) / MinPartBytes * MinPartBytes
		return min(max(want, need, MinPartBytes), MaxPutBytes)
	}
	p := int64(defaultPartBytes)
	for p*MaxParts < size {
		p *= 2
	}
	return min(p, MaxPutBytes)
}

// upload is one multipart upload under way.
type upload struct {
	c         *Client
	o         *UploadOptions
	key       string
	body      io.ReaderAt
	size      int64
	partBytes int64
	progress  progress

	id    string
	parts []Part // by number - 1; ETag "" = still to be sent
}

func (u *upload) run(ctx context.Context, unchanged func() error) (*PutResult, error) {
	u.parts = make([]Part, (u.size+u.partBytes-1)/u.partBytes)
	if !u.o.NoResume {
		if err := u.resume(ctx); err != nil {
			return nil, err
		}
	}
	if u.id == "" {
		id, err := u.c.InitiateMultipart(ctx, u.key, &InitiateOptions{Headers: u.o.Headers})
		if err != nil {
			return nil, err
		}
		u.id = id
	}
	if err := u.send(ctx); err != nil {
		return nil, err
	}
	if err := unchanged(); err != nil {
		return nil, refuse("Upload", u.key, err)
	}
	res, err := u.c.CompleteMultipart(ctx, u.key, u.id, u.parts, &CompleteOptions{
		ForbidOverwrite: u.o.ForbidOverwrite, Size: u.size,
	})
	if err != nil || res.HasCRC64 {
		return res, err
	}
	return res, u.verify(ctx, res)
}

// span is where part number n lies.
func (u *upload) span(n int) (off, size int64) {
	off = int64(n-1) * u.partBytes
	return off, min(u.partBytes, u.size-off)
}

// send uploads the parts that are missing.
func (u *upload) send(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(orDefault(u.o.Threads, defaultThreads))
	for i := range u.parts {
		if u.parts[i].ETag != "" {
			continue
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctxError(ctx)
			}
			off, size := u.span(i + 1)
			p, err := u.c.UploadPart(ctx, u.key, u.id, i+1, io.NewSectionReader(u.body, off, size), size, &PartOptions{
				EnableMD5: u.o.EnableMD5, TrafficLimit: u.o.TrafficLimit, SSE: u.o.Headers.SSE,
			})
			if err != nil {
				return err
			}
			u.parts[i] = p
			u.progress.add(size)
			return nil
		})
	}
	return g.Wait()
}

// verify asks for the checksum that the answer to Complete did not carry.
func (u *upload) verify(ctx context.Context, res *PutResult) error {
	info, err := u.c.Head(ctx, u.key, &HeadOptions{VersionID: res.VersionID, SSE: u.o.Headers.SSE})
	if err != nil || !info.HasCRC64 {
		return err
	}
	want := expected(u.parts, CompleteOptions{})
	if info.ETag == res.ETag && info.CRC64 != want.CRC64 {
		return refuse("Upload", u.key, fmt.Errorf("%w: the parts' CRC64 is %d, the object's %d", ErrChecksum, want.CRC64, info.CRC64))
	}
	res.CRC64, res.HasCRC64 = info.CRC64, true
	return nil
}

// abandon aborts an upload that nobody will continue. It outlives the caller's context, briefly.
func (u *upload) abandon(ctx context.Context, why error) {
	if u.id == "" || errors.Is(why, ErrUnknownOutcome) || !u.o.NoResume && !errors.Is(why, ErrSourceChanged) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := u.c.AbortMultipart(ctx, u.key, u.id); err != nil && !errors.Is(err, ErrNotFound) {
		u.c.log.WarnContext(ctx, "unfinished upload left behind", "key", u.key, "upload_id", u.id, "err", err)
	}
}

// progress adds up what is acknowledged and reports one call at a time.
type progress struct {
	report func(done, total int64)
	total  int64

	mu   sync.Mutex // guards done and serialises report
	done int64
}

func (p *progress) add(n int64) {
	if p.report == nil || n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.report(p.done, p.total)
}
