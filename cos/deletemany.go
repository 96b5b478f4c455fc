package cos

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// DeleteMany removes any number of objects, in batches of MaxDeleteKeys; keys that XML cannot carry
// go one by one. Missing objects are no errors. Keys that the service or this package refused are
// returned one by one; the error is that of a request which failed as a whole, and the keys of it
// and of the ones that would have followed are then in an unknown state. A request whose reply was
// lost is sent again and would also remove objects created in between.
func (c *Client) DeleteMany(ctx context.Context, keys []string) ([]DeleteError, error) {
	var refused []DeleteError
	var plain, odd []string
	for _, k := range keys {
		switch err := CheckKey(k); {
		case err != nil:
			refused = append(refused, DeleteError{k, refuse(opDeleteMany, k, err)})
		case xmlSafe(k):
			plain = append(plain, k)
		default:
			odd = append(odd, k)
		}
	}
	for batch := range slices.Chunk(plain, MaxDeleteKeys) {
		errs, err := c.deleteBatch(ctx, batch)
		refused = append(refused, errs...)
		if err != nil {
			return refused, err
		}
	}
	for _, k := range odd {
		err := c.Delete(ctx, k, nil)
		var e *Error
		if errors.As(err, &e) && (e.Status == 0 || e.Status >= 500 || errors.Is(e, ErrNoSuchBucket)) {
			return refused, err
		}
		if err != nil {
			refused = append(refused, DeleteError{k, err})
		}
	}
	return refused, nil
}

const opDeleteMany = "DeleteObjects"

// xmlSafe tells whether a key survives a trip through XML unchanged: parsers may drop white space at
// the ends and control characters, and the service a leading slash.
func xmlSafe(key string) bool {
	if strings.TrimSpace(key) != key || key[0] == '/' {
		return false
	}
	return !strings.ContainsFunc(key, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff
	})
}

type deleteDoc struct {
	XMLName xml.Name
	Errors  []struct {
		Key, Code, Message string
	} `xml:"Error"`
}

func (c *Client) deleteBatch(ctx context.Context, keys []string) ([]DeleteError, error) {
	body := deleteBody(keys)
	sum := md5.Sum([]byte(body))
	r := &request{
		op: opDeleteMany, method: http.MethodPost, mutates: true, ownMD5: true, slow: true,
		query: url.Values{"delete": nil},
		body:  strings.NewReader(body), size: int64(len(body)),
	}
	r.setHeader("Content-Type", "application/xml")
	r.setHeader("Content-MD5", base64.StdEncoding.EncodeToString(sum[:])) // the service insists on it
	var doc deleteDoc
	var id string
	r.read = func(a *answer) error {
		doc, id = deleteDoc{}, a.Header.Get(headerRequestID)
		return readXML(a, "DeleteResult", &doc)
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	var refused []DeleteError
	for _, e := range doc.Errors {
		if e.Code == "NoSuchKey" {
			continue
		}
		err := orDefault(byCode(e.Code), ErrServer)
		if strings.HasPrefix(e.Code, "Access") {
			err = ErrAccessDenied
		}
		refused = append(refused, DeleteError{e.Key, &Error{
			Op: opDeleteMany, Key: e.Key, Status: http.StatusOK, Code: e.Code, Message: e.Message,
			RequestID: id, Attempts: 1, Err: err,
		}})
	}
	return refused, nil
}

func deleteBody(keys []string) string {
	var b strings.Builder
	b.WriteString("<Delete><Quiet>true</Quiet>")
	for _, k := range keys {
		b.WriteString("<Object><Key>" + escapeXML(k) + "</Key></Object>")
	}
	b.WriteString("</Delete>")
	return b.String()
}
