package cosserver

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"cosfuse/cos/cosserver/internal/store"
)

// Response headers in the spelling clients look for: some compare them byte by byte, so they are put
// into the header map as they are instead of through Header.Set.
const (
	hdrETag         = "ETag"
	hdrCRC          = "x-cos-hash-crc64ecma"
	hdrRequestID    = "x-cos-request-id"
	hdrTraceID      = "x-cos-trace-id"
	hdrVersion      = "x-cos-version-id"
	hdrNextPosition = "x-cos-next-append-position"
	hdrMetaPrefix   = "x-cos-meta-"
)

// request is one API call being served.
type request struct {
	*http.Request
	srv *Server
	w   http.ResponseWriter
	id  string

	op     operation
	bucket string
	state  store.Bucket
	key    string
	query  url.Values
	owner  bool // may do everything; else what ACLs let everyone do

	rec    *Record // what the log will say
	after  []*rule // faults of the answer
	middle []*rule // faults of the answer's body, or before applying
	struck bool    // by any rule
	sent   bool    // an answer has begun
	gone   bool    // nobody is connected any more
}

func requestID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

func traceID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(b[:])))
}

// serve handles one request from its arrival to the log record.
func (s *Server) serve(w http.ResponseWriter, hr *http.Request) {
	if s.opt.Switches.S3Headers {
		renameS3(hr.Header)
		w = &s3Writer{ResponseWriter: w}
	}
	r := &request{Request: hr, srv: s, w: w, id: requestID()}
	h := w.Header()
	h[hdrRequestID] = []string{r.id}
	h["Server"] = []string{"tencent-cos"}
	h["Date"] = []string{s.clock().UTC().Format(http.TimeFormat)} // clients learn from it how wrong theirs is
	if !s.enter() {
		r.sendError(fail(http.StatusServiceUnavailable, "ServiceUnavailable"))
		return
	}
	defer s.leave()

	err := r.route()
	r.rec = s.stats.begin(r)
	defer func() { s.stats.end(r.rec) }()
	if err == nil {
		err = r.handle()
	}
	if err != nil {
		r.refuse(err)
	}
	r.endFaults()
}

// refuse ends a request that failed: with an error document, or by closing the connection.
func (r *request) refuse(err error) {
	log := r.srv.log.With("op", r.op.name, "key", r.key, "request_id", r.id, "err", err)
	log.Debug("request failed")
	switch {
	case errors.Is(err, errCut):
		// What cannot be flushed is cut off too.
		_ = http.NewResponseController(r.w).Flush()
		panic(http.ErrAbortHandler) // net/http closes the connection
	case errors.Is(err, errReset) || r.sent:
		r.rec.Status = 0
		r.reset()
		return
	}
	e := r.srv.toAPI(err)
	if e.code == "InternalError" {
		log.Error("request failed")
	}
	if r.sendError(e) != nil {
		r.reset()
	}
}

// route finds out what the request is about.
func (r *request) route() error {
	q, err := parseQuery(r.URL.RawQuery)
	r.query = q
	r.bucket, r.key = r.srv.address(r.Request)
	r.op = classify(r.Method, r.bucket, r.key, q, r.Header)
	if err != nil {
		return failf(http.StatusBadRequest, "InvalidURI", "The query cannot be decoded.")
	}
	return nil
}

// handle checks and performs the operation.
func (r *request) handle() error {
	if err := r.beginFaults(); err != nil {
		return err
	}
	if err := r.authenticate(); err != nil {
		return err
	}
	if r.bucket == inPath {
		return fail(http.StatusForbidden, "PathStyleDomainForbidden")
	}
	if r.op.do == nil {
		return fail(http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
	if err := checkKey(r.key); err != nil {
		return err
	}
	if r.bucket != "" && r.op.name != "PutBucket" {
		state, err := r.srv.store.Bucket(r.bucket)
		if err != nil {
			return err
		}
		r.state = state
	}
	if err := r.authorize(); err != nil {
		return err
	}
	if r.ContentLength == 0 {
		if err := r.middleNow(); err != nil {
			return err
		}
	}
	return r.op.do(r)
}

// inPath is no bucket's name.
const inPath = "/"

// address returns the bucket and the key of a request. The bucket is in the host if that has the
// service's form, else it is the default one. A bucket of "" is the service itself, and inPath stands
// for a bucket that is in the path where that is not allowed.
func (s *Server) address(r *http.Request) (bucket, key string) {
	key = strings.TrimPrefix(r.URL.Path, "/")
	bucket, service := bucketOfHost(r.Host)
	if bucket != "" {
		return bucket, key
	}
	first, rest, _ := strings.Cut(key, "/")
	if service && key == "" {
		return "", ""
	}
	if service && !s.opt.Switches.PathStyle {
		return inPath, key
	}
	if service || s.opt.Switches.PathStyle && bucketName.MatchString(first) {
		return first, rest
	}
	return s.defaultBucket, key
}

// bucketOfHost takes the bucket out of a host like photos-1250000000.cos.ap-local.myqcloud.com. A
// host like cos.ap-local.myqcloud.com or service.cos.myqcloud.com is the service's.
func bucketOfHost(host string) (bucket string, service bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	labels := strings.Split(host, ".")
	if labels[0] == "service" || isServiceLabel(labels[0]) && len(labels) > 1 {
		return "", true
	}
	if len(labels) > 2 && isServiceLabel(labels[1]) {
		return labels[0], false
	}
	return "", false
}

func isServiceLabel(l string) bool { return l == "cos" || l == "cos-internal" }

// parseQuery reads a query whose parameters may lack "=" and hold ";".
func parseQuery(raw string) (url.Values, error) {
	q := url.Values{}
	for field := range strings.SplitSeq(raw, "&") {
		if field == "" {
			continue
		}
		k, v, _ := strings.Cut(field, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err := errors.Join(err1, err2); err != nil {
			return q, fmt.Errorf("query: %w", err)
		}
		q[name] = append(q[name], value)
	}
	return q, nil
}

// version is the version a request names, in either spelling that clients use.
func (r *request) version() string {
	if v := r.query.Get("versionId"); v != "" {
		return v
	}
	return r.query.Get("VersionId")
}

// set puts a response header in exactly this spelling.
func (r *request) set(name, value string) { r.w.Header()[name] = []string{value} }

func quote(etag string) string { return `"` + etag + `"` }
