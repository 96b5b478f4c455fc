package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"cosfuse/writeback"
)

// Trailers of an export, which begins before its end is known.
const (
	errorTrailer = "Cosfuse-Error" // a refusal as JSON; absent if all went well
	gapsTrailer  = "Cosfuse-Gaps"  // list of gaps as JSON; absent if there are none
)

// gap is a range of a file whose bytes are nowhere any more.
type gap struct {
	Off int64 `json:"off"`
	End int64 `json:"end"`
}

// replaced tells what a retry replaced; an empty ETag is nothing.
type replaced struct {
	Key          string    `json:"key"`
	ETag         string    `json:"etag,omitempty"`
	Size         int64     `json:"size"`
	LastModified time.Time `json:"last_modified,omitzero"`
}

func replacedBy(r writeback.Replaced) replaced {
	return replaced{Key: r.Key, ETag: r.Version.ETag, Size: r.Version.Size, LastModified: r.Version.LastModified}
}

func reportGaps(list []writeback.Gap) []gap {
	var out []gap
	for _, g := range list {
		out = append(out, gap(g))
	}
	return out
}

// rescueCode is the exit code for an error of a rescuer.
func rescueCode(err error) int {
	switch {
	case errors.Is(err, writeback.ErrNoSuchFile):
		return exitUsage
	case errors.Is(err, writeback.ErrInUse):
		return exitMachine
	}
	return exitUncommitted
}

// rescueStatus is the HTTP status that goes with an exit code.
func rescueStatus(code int) int {
	switch code {
	case exitUsage:
		return http.StatusNotFound
	case exitMachine:
		return http.StatusConflict
	}
	return http.StatusBadGateway
}

// onFile makes a handler of one that works on a file.
func (c *control) onFile(h func(w http.ResponseWriter, r *http.Request, ino uint64) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ino, err := strconv.ParseUint(r.PathValue("ino"), 10, 64)
		if err != nil {
			refuse(w, http.StatusBadRequest, exitUsage, err)
			return
		}
		done, err := c.begin()
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, exitOther, err)
			return
		}
		defer done()
		if err := h(w, r, ino); err != nil {
			code := rescueCode(err)
			refuse(w, rescueStatus(code), code, err)
		}
	}
}

// retry commits the file over what is in the bucket.
func (c *control) retry(w http.ResponseWriter, r *http.Request, ino uint64) error {
	was, err := c.state.Retry(r.Context(), ino)
	if err != nil {
		return err
	}
	reply(w, replacedBy(was))
	return nil
}

// drop forgets the file.
func (c *control) drop(w http.ResponseWriter, _ *http.Request, ino uint64) error {
	if err := c.state.Drop(ino); err != nil {
		return err
	}
	reply(w, struct{}{})
	return nil
}

// export sends the file's bytes, and in trailers how it went.
func (c *control) export(w http.ResponseWriter, r *http.Request, ino uint64) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", errorTrailer+", "+gapsTrailer)
	// A caller that does not read must not hold up the end of the mount.
	stop := context.AfterFunc(r.Context(), func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Now()) })
	defer stop()
	gaps, err := c.state.Export(r.Context(), ino, w, r.URL.Query().Has("partial"))
	if err != nil {
		return setTrailer(w, errorTrailer, refusal{Error: err.Error(), Code: rescueCode(err)})
	}
	if len(gaps) > 0 {
		return setTrailer(w, gapsTrailer, reportGaps(gaps))
	}
	return nil
}

func setTrailer(w http.ResponseWriter, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set(name, string(text))
	return nil
}

// filePath is where a file is at the control socket.
func filePath(ino uint64) string { return "/files/" + strconv.FormatUint(ino, 10) }

// export writes the local version of a file to w.
func (d *daemonClient) export(ctx context.Context, ino uint64, w io.Writer, partial bool) ([]gap, error) {
	query := url.Values{}
	if partial {
		query.Set("partial", "")
	}
	res, err := d.do(ctx, http.MethodGet, filePath(ino)+"/bytes", query)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if text := res.Trailer.Get(errorTrailer); text != "" {
		var r refusal
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("answer of the daemon: %w", err)
		}
		return nil, &failure{code: r.Code, err: errors.New(r.Error)}
	}
	var gaps []gap
	if text := res.Trailer.Get(gapsTrailer); text != "" {
		if err := json.Unmarshal([]byte(text), &gaps); err != nil {
			return nil, fmt.Errorf("answer of the daemon: %w", err)
		}
	}
	return gaps, nil
}

// retry commits a file over what is in the bucket.
func (d *daemonClient) retry(ctx context.Context, ino uint64) (replaced, error) {
	var r replaced
	err := d.ask(ctx, http.MethodPost, filePath(ino)+"/retry", nil, &r)
	return r, err
}

// drop forgets a file.
func (d *daemonClient) drop(ctx context.Context, ino uint64) error {
	return d.ask(ctx, http.MethodDelete, filePath(ino), nil, &struct{}{})
}

// list tells of everything dirty.
func (d *daemonClient) list(ctx context.Context) ([]fileStatus, error) {
	s, err := d.status(ctx, "")
	return s.Files, err
}
