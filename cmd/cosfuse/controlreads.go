package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"cosfuse/cache"
	"cosfuse/fs"
)

// reader is the read state of a mount, as far as the control socket shows it. Paths are below the
// mountpoint, "" being all of it.
type reader interface {
	DiskUsage() cache.DiskUsage
	Stats() cache.BlocksStats
	TrimDisk(size int64)                                       // blocks while files are deleted
	Warm(ctx context.Context, path string, w *fs.Warmth) error // blocks until it is done
	Refresh(ctx context.Context, path string) error            // blocks for one listing
}

// volumeReads is the reader of a mount.
type volumeReads struct {
	mnt *fs.Mount
	*cache.Blocks
}

// Warm is the mount's.
func (v volumeReads) Warm(ctx context.Context, path string, w *fs.Warmth) error {
	return v.mnt.Warm(ctx, path, w)
}

// Refresh is the mount's.
func (v volumeReads) Refresh(ctx context.Context, path string) error { return v.mnt.Refresh(ctx, path) }

// cacheReport tells what is cached.
type cacheReport struct {
	Memory struct {
		Bytes        int64 `json:"bytes"`
		Hits         int64 `json:"hits"`
		Misses       int64 `json:"misses"`
		FetchedBytes int64 `json:"fetched_bytes"`
	} `json:"memory"`
	Disk diskReport `json:"disk"`
}

// diskReport tells what is on disk.
type diskReport struct {
	Enabled   bool  `json:"enabled"`
	Bytes     int64 `json:"bytes"`
	Blocks    int64 `json:"blocks"`
	Objects   int64 `json:"objects"`
	Hits      int64 `json:"hits"`
	Evictions int64 `json:"evictions"`
	Damaged   int64 `json:"damaged"`
	Skipped   int64 `json:"skipped"`
}

func reportDisk(u cache.DiskUsage) diskReport {
	return diskReport{Enabled: u.Enabled, Bytes: u.Bytes, Blocks: u.Blocks, Objects: u.Objects, Hits: u.Hits,
		Evictions: u.Evictions, Damaged: u.Damaged, Skipped: u.Skipped}
}

// warmReport is a line of the answer to a warmup: how far it is. The last line has Done or Error.
type warmReport struct {
	Files     int64  `json:"files"`
	FilesDone int64  `json:"files_done"`
	Bytes     int64  `json:"bytes"`
	BytesDone int64  `json:"bytes_done"`
	Found     bool   `json:"found"` // Files and Bytes are final
	Done      bool   `json:"done,omitempty"`
	Error     string `json:"error,omitempty"`
	Code      int    `json:"code,omitempty"` // exit code that goes with Error
}

func reportWarmth(w *fs.Warmth) warmReport {
	r := warmReport{Found: w.Found.Load(), FilesDone: w.FilesDone.Load(), BytesDone: w.BytesDone.Load()}
	r.Files, r.Bytes = w.Files.Load(), w.Bytes.Load() // after what is done of them
	return r
}

// handleReads routes requests about what is cached.
func (c *control) handleReads(mux *http.ServeMux) {
	mux.HandleFunc("GET "+controlVersion+"/cache", c.cache)
	mux.HandleFunc("POST "+controlVersion+"/cache/trim", c.onReads(c.trim))
	mux.HandleFunc("POST "+controlVersion+"/warmup", c.onReads(c.warmup))
	mux.HandleFunc("POST "+controlVersion+"/refresh", c.onReads(c.refresh))
}

// onReads makes a handler of one that uses the mount.
func (c *control) onReads(h func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		done, err := c.begin()
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, exitOther, err)
			return
		}
		defer done()
		if err := h(w, r); err != nil {
			refuse(w, http.StatusBadGateway, readCode(err), err)
		}
	}
}

// readCode is the exit code for an error of a reader.
func readCode(err error) int {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EINVAL), errors.As(err, new(*strconv.NumError)):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitOther
	}
	return exitService
}

func (c *control) cacheReport() cacheReport {
	s := c.reads.Stats()
	r := cacheReport{Disk: reportDisk(c.reads.DiskUsage())}
	r.Memory.Bytes, r.Memory.Hits, r.Memory.Misses, r.Memory.FetchedBytes = s.CachedBytes+s.HeldBytes, s.Hits, s.Misses, s.FetchedBytes
	return r
}

// cache answers what is cached.
func (c *control) cache(w http.ResponseWriter, _ *http.Request) { reply(w, c.cacheReport()) }

// trim leaves query "size" bytes on disk at most.
func (c *control) trim(w http.ResponseWriter, r *http.Request) error {
	size, err := strconv.ParseUint(r.URL.Query().Get("size"), 10, 63)
	if err != nil {
		return err
	}
	c.reads.TrimDisk(int64(size))
	reply(w, c.cacheReport())
	return nil
}

// refresh drops what is known of query "path".
func (c *control) refresh(w http.ResponseWriter, r *http.Request) error {
	if err := c.reads.Refresh(r.Context(), r.URL.Query().Get("path")); err != nil {
		return err
	}
	reply(w, struct{}{})
	return nil
}

// warmup brings query "path" into the cache and tells line by line how far it is.
func (c *control) warmup(w http.ResponseWriter, r *http.Request) error {
	var warmth fs.Warmth
	done := make(chan error, 1)
	go func() { done <- c.reads.Warm(r.Context(), r.URL.Query().Get("path"), &warmth) }()
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	tick := time.NewTicker(progressPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			// Whoever does not read any more has ended the context, and so the work.
			_ = lines.Encode(reportWarmth(&warmth))
			_ = flush.Flush()
		case err := <-done:
			last := reportWarmth(&warmth)
			if last.Done = err == nil; err != nil {
				last.Error, last.Code = err.Error(), readCode(err)
			}
			_ = lines.Encode(last)
			return nil
		}
	}
}

// cache asks what is cached.
func (d *daemonClient) cache(ctx context.Context) (cacheReport, error) {
	var r cacheReport
	err := d.ask(ctx, http.MethodGet, "/cache", nil, &r)
	return r, err
}

// trim has at most size bytes left on disk.
func (d *daemonClient) trim(ctx context.Context, size int64) (cacheReport, error) {
	var r cacheReport
	err := d.ask(ctx, http.MethodPost, "/cache/trim", url.Values{"size": {strconv.FormatInt(size, 10)}}, &r)
	return r, err
}

// refresh drops what is known of path.
func (d *daemonClient) refresh(ctx context.Context, path string) error {
	return d.ask(ctx, http.MethodPost, "/refresh", url.Values{"path": {path}}, new(struct{}))
}

// warmup brings path into the cache, calling show with each report.
func (d *daemonClient) warmup(ctx context.Context, path string, show func(warmReport)) (last warmReport, err error) {
	res, err := d.do(ctx, http.MethodPost, "/warmup", url.Values{"path": {path}})
	if err != nil {
		return last, err
	}
	defer res.Body.Close()
	lines := json.NewDecoder(res.Body)
	for !last.Done {
		if err := lines.Decode(&last); err != nil {
			return last, fmt.Errorf("answer of the daemon: %w", err)
		}
		if last.Error != "" {
			return last, &failure{code: last.Code, err: errors.New(last.Error)}
		}
		show(last)
	}
	return last, nil
}
