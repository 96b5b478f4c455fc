package cos

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"golang.org/x/sync/errgroup"
)

// resume takes over the newest unfinished upload of the key that holds at least one part of ours. A
// caller who may not list uploads starts anew.
func (u *upload) resume(ctx context.Context) error {
	candidates, err := u.candidates(ctx)
	if errors.Is(err, ErrAccessDenied) || errors.Is(err, ErrUnsupported) {
		return nil
	}
	if err != nil || len(candidates) == 0 {
		return err
	}
	newest := candidates[0]
	for _, c := range candidates[1:] {
		if !c.Initiated.Before(newest.Initiated) {
			newest = c
		}
	}
	listed, err := u.listed(ctx, newest.UploadID)
	if errors.Is(err, ErrNotFound) {
		return nil // completed or aborted since it was listed
	}
	if err != nil {
		return err
	}
	kept, err := u.keep(ctx, listed)
	if err != nil || kept == 0 {
		return err
	}
	u.id = newest.UploadID
	u.c.log.InfoContext(ctx, "upload resumed", "key", u.key, "upload_id", u.id, "bytes", kept)
	u.progress.add(kept)
	return nil
}

// candidates lists the uploads of exactly this key and class.
func (u *upload) candidates(ctx context.Context) ([]UploadInfo, error) {
	var found []UploadInfo
	o := ListUploadsOptions{Prefix: u.key}
	for {
		page, err := u.c.ListUploads(ctx, &o)
		if err != nil {
			return nil, err
		}
		for _, up := range page.Uploads {
			if up.Key > u.key {
				return found, nil // keys are listed in order
			}
			if up.Key == u.key && sameClass(up.StorageClass, u.o.Headers.StorageClass) {
				found = append(found, up)
			}
		}
		if !page.Truncated {
			return found, nil
		}
		o.KeyMarker, o.UploadIDMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

func sameClass(listed, wanted string) bool {
	return listed == "" || strings.EqualFold(listed, orDefault(wanted, classStandard))
}

// listed returns all parts of an upload.
func (u *upload) listed(ctx context.Context, id string) ([]Part, error) {
	var all []Part
	var o ListPartsOptions
	for {
		page, err := u.c.ListParts(ctx, u.key, id, &o)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Parts...)
		if !page.Truncated {
			return all, nil
		}
		o.PartNumberMarker = page.NextMarker
	}
}

// keep notes the listed parts whose bytes are the local ones and returns how many bytes they have.
// An upload with parts beyond ours is somebody else's: none is kept.
func (u *upload) keep(ctx context.Context, listed []Part) (int64, error) {
	if len(listed) == 0 || listed[len(listed)-1].Number > len(u.parts) {
		return 0, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(orDefault(u.o.Threads, defaultThreads))
	for _, p := range listed {
		off, size := u.span(p.Number)
		if p.Size != size || len(p.ETag) != 2*md5Size {
			continue
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctxError(ctx)
			}
			part := io.NewSectionReader(u.body, off, size)
			sum, err := md5Of(part, size)
			if err != nil || hex.EncodeToString(sum) != strings.ToLower(p.ETag) {
				return err
			}
			if p.CRC64, err = crcOf(part, size); err != nil {
				return err
			}
			p.HasCRC64 = true
			u.parts[p.Number-1] = p
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, refuse("Upload", u.key, err)
	}
	var kept int64
	for _, p := range u.parts {
		kept += p.Size
	}
	return kept, nil
}
