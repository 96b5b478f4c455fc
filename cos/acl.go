package cos

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"cosfuse/cos/internal/sign"
)

type aclDoc struct {
	XMLName xml.Name
	Owner   ownerDoc
	Grants  []struct {
		Grantee struct {
			ID  string
			URI string
		}
		Permission string
	} `xml:"AccessControlList>Grant"`
}

// ObjectACL returns the access control list of an object.
func (c *Client) ObjectACL(ctx context.Context, key string) (*ACL, error) {
	const op = "GetObjectACL"
	if err := CheckKey(key); err != nil {
		return nil, refuse(op, key, err)
	}
	var acl ACL
	r := &request{op: op, method: http.MethodGet, key: key, query: url.Values{"acl": nil}}
	r.read = func(a *answer) error {
		var doc aclDoc
		if err := readXML(a, "AccessControlPolicy", &doc); err != nil {
			return err
		}
		acl = ACL{Canned: a.Header.Get("X-Cos-Acl"), Owner: doc.Owner.ID}
		for _, g := range doc.Grants {
			acl.Grants = append(acl.Grants, Grant{
				GranteeID: orDefault(g.Grantee.ID, g.Grantee.URI), Permission: g.Permission,
			})
		}
		return nil
	}
	if _, err := c.send(ctx, r); err != nil {
		return nil, err
	}
	return &acl, nil
}

// PutObjectACL replaces the access control list of an object by a canned one, by the Grant fields of
// grants, or both; the other fields of grants are ignored.
func (c *Client) PutObjectACL(ctx context.Context, key, canned string, grants Headers) error {
	const op = "PutObjectACL"
	if err := CheckKey(key); err != nil {
		return refuse(op, key, err)
	}
	grants.ACL = canned
	r := &request{op: op, method: http.MethodPut, key: key, mutates: true, query: url.Values{"acl": nil}, read: discard}
	r.setAccess(grants)
	if len(r.header) == 0 {
		return refuse(op, key, fmt.Errorf("%w: neither a canned list nor a grant", ErrInvalidArgument))
	}
	_, err := c.send(ctx, r)
	return err
}

type tagDoc struct {
	XMLName xml.Name
	Tags    []struct{ Key, Value string } `xml:"TagSet>Tag"`
}

// ObjectTagging returns the tags of an object as K1=V1&K2=V2, URL-encoded, in the service's order;
// empty if it has none.
func (c *Client) ObjectTagging(ctx context.Context, key string) (string, error) {
	const op = "GetObjectTagging"
	if err := CheckKey(key); err != nil {
		return "", refuse(op, key, err)
	}
	var doc tagDoc
	r := &request{op: op, method: http.MethodGet, key: key, query: url.Values{"tagging": nil}}
	r.read = func(a *answer) error {
		doc = tagDoc{}
		return readXML(a, "Tagging", &doc)
	}
	_, err := c.send(ctx, r)
	var e *Error
	if errors.As(err, &e) && e.Code == "NoSuchTagSet" {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	tags := make([]string, len(doc.Tags))
	for i, t := range doc.Tags {
		tags[i] = sign.Escape(t.Key) + "=" + sign.Escape(t.Value)
	}
	return strings.Join(tags, "&"), nil
}
