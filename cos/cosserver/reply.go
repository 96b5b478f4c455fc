package cosserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"cosfuse/cos/cosserver/internal/store"
)

// errCut ends a request by closing its connection after what was sent so far.
var errCut = errors.New("connection to be cut")

// send answers with a small body, after the faults that wait for the answer.
func (r *request) send(status int, contentType string, body []byte) error {
	if err := r.afterFaults(); err != nil {
		return err
	}
	a := &answer{status: status, contentType: contentType, body: body, size: int64(len(body))}
	r.spoil(a)
	return r.write(a)
}

func (r *request) sendXML(status int, x *document) error {
	return r.send(status, "application/xml", x.end())
}

// answer is a small answer on its way out.
type answer struct {
	status      int
	contentType string
	body        []byte
	size        int64 // what Content-Length will say; more than the body holds cuts it
	padding     int   // bytes of white space sent ahead
}

func (r *request) write(a *answer) error {
	h := r.w.Header()
	if a.contentType != "" {
		r.set("Content-Type", a.contentType)
	}
	bodyless := r.Method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified
	if !bodyless && a.padding == 0 {
		r.set("Content-Length", strconv.FormatInt(a.size, 10))
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // keeps net/http from guessing one
	}
	r.sent = true
	r.rec.Status = a.status
	r.w.WriteHeader(a.status)
	if bodyless {
		return nil
	}
	if a.padding > 0 {
		if err := r.out(bytes.Repeat([]byte(" "), a.padding)); err != nil {
			return err
		}
		// A writer that cannot flush sends the padding with the rest.
		_ = http.NewResponseController(r.w).Flush()
	}
	if err := r.out(a.body); err != nil {
		return err
	}
	if int64(len(a.body)) < a.size {
		return errCut
	}
	return nil
}

func (r *request) out(b []byte) error {
	n, err := r.w.Write(b)
	r.rec.BytesOut += int64(n)
	if err != nil {
		return errors.Join(errReset, err)
	}
	return nil
}

// sendError answers with an error document. Whatever was put into the header for another answer is
// taken out again. Faults do not act on it.
func (r *request) sendError(e *apiError) error {
	h := r.w.Header()
	for name := range h {
		if name != hdrRequestID && name != "Server" && name != "Date" {
			delete(h, name)
		}
	}
	trace := traceID()
	r.set(hdrTraceID, trace)
	for _, p := range e.header {
		r.set(p.Name, p.Value)
	}
	if r.rec == nil {
		r.rec = &Record{}
	}
	return r.write(r.errorAnswer(e, trace))
}

func (r *request) errorAnswer(e *apiError, trace string) *answer {
	x := newDocument("Error")
	x.text("Code", e.code)
	x.text("Message", orDash(e.message))
	x.text("Resource", orDash(r.Host+r.URL.EscapedPath()))
	x.text("RequestId", r.id)
	x.text("TraceId", trace)
	body := x.end()
	return &answer{status: e.status, contentType: "application/xml", body: body, size: int64(len(body))}
}

// orDash keeps an element from being empty: clients take a document with an empty one for unknown.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// stream answers with size bytes of an object; body is nil if there are none. limit is the most bytes
// per second, 0 for any number.
func (r *request) stream(status int, body *store.Reader, size, limit int64) error {
	if err := r.afterFaults(); err != nil {
		return err
	}
	a := &answer{status: status, size: size}
	r.spoil(a)
	if a.size != size || a.status != status || a.body != nil { // something else goes out
		return r.write(a)
	}
	r.set("Content-Length", strconv.FormatInt(size, 10))
	r.sent = true
	r.rec.Status = status
	r.w.WriteHeader(status)
	if body == nil {
		return nil
	}
	damage := r.bodyFaults(size)
	pace := r.pacer(limit)
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	b := (*buf)[:pace.slice(len(*buf))]
	for off := int64(0); off < size; {
		n, err := body.Read(b[:min(int64(len(b)), size-off)])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read the object: %w", err)
		}
		if err := pace.pass(n); err != nil {
			return err
		}
		n, faultErr := damage.apply(b[:n], off)
		if err := r.out(b[:n]); err != nil {
			return err
		}
		off += int64(n)
		if faultErr != nil {
			return faultErr
		}
	}
	return nil
}

// reset closes the connection without another byte, with a TCP reset where that can be asked for.
func (r *request) reset() {
	if r.gone {
		return
	}
	conn, _, err := http.NewResponseController(r.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http closes the connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) // the connection is closed with or without it
	}
	conn.Close()
}

// nowhere is where the answer goes when nobody is connected any more.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w nowhere) WriteHeader(int)             {}
