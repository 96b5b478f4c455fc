package cosserver

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"cosfuse/cos/cosserver/internal/store"
)

const everyone = "http://cam.qcloud.com/groups/global/AllUsers"

var cannedACLs = []string{
	"default", "private", "public-read", "public-read-write", "authenticated-read",
	"bucket-owner-read", "bucket-owner-full-control",
}

// grantHeaders give a permission each.
var grantHeaders = []store.Pair{
	{Name: "X-Cos-Grant-Read", Value: "READ"},
	{Name: "X-Cos-Grant-Write", Value: "WRITE"},
	{Name: "X-Cos-Grant-Read-Acp", Value: "READ_ACP"},
	{Name: "X-Cos-Grant-Write-Acp", Value: "WRITE_ACP"},
	{Name: "X-Cos-Grant-Full-Control", Value: "FULL_CONTROL"},
}

var grantee = regexp.MustCompile(`^id="([^"]+)"$`)

// headerACL reads x-cos-acl and x-cos-grant-*.
func headerACL(h http.Header) (store.ACL, error) {
	acl := store.ACL{Canned: h.Get("X-Cos-Acl")}
	if acl.Canned != "" && !slices.Contains(cannedACLs, acl.Canned) {
		return acl, badArgument("There is no ACL %q.", acl.Canned)
	}
	for _, g := range grantHeaders {
		text := h.Get(g.Name)
		if text == "" {
			continue
		}
		for item := range strings.SplitSeq(text, ",") {
			m := grantee.FindStringSubmatch(strings.TrimSpace(item))
			if m == nil {
				return acl, badArgument("%s is not a list of id=\"...\".", g.Name)
			}
			acl.Grants = append(acl.Grants, store.Grant{Grantee: m[1], Permission: g.Value})
		}
	}
	return acl, nil
}

// aclBody is the document form of an ACL.
type aclBody struct {
	Grants []struct {
		ID         string `xml:"Grantee>ID"`
		URI        string `xml:"Grantee>URI"`
		Permission string
	} `xml:"AccessControlList>Grant"`
}

// readACL reads an ACL from the header, or from the body if the header says nothing.
func (r *request) readACL() (store.ACL, error) {
	acl, err := headerACL(r.Header)
	if err != nil || acl.Canned != "" || len(acl.Grants) > 0 {
		return acl, err
	}
	var body aclBody
	if err := r.readXML(&body, false); err != nil {
		return acl, err
	}
	acl.Canned = "private"
	for _, g := range body.Grants {
		switch {
		case g.URI == everyone && g.Permission == "READ" && acl.Canned == "private":
			acl.Canned = "public-read"
		case g.URI == everyone && (g.Permission == "WRITE" || g.Permission == "FULL_CONTROL"):
			acl.Canned = "public-read-write"
		case g.ID != "":
			acl.Grants = append(acl.Grants, store.Grant{Grantee: g.ID, Permission: g.Permission})
		}
	}
	return acl, nil
}

func (r *request) sendACL(acl store.ACL, missing string) error {
	canned := acl.Canned
	if canned == "" {
		canned = missing
	}
	r.set("x-cos-acl", canned)
	x := newDocument("AccessControlPolicy")
	r.person(x, "Owner")
	x.open("AccessControlList")
	grants := acl.Grants
	if strings.HasPrefix(canned, "public-read") {
		grants = append([]store.Grant{{Grantee: everyone, Permission: "READ"}}, grants...)
	}
	if canned == "public-read-write" {
		grants = append([]store.Grant{{Grantee: everyone, Permission: "WRITE"}}, grants...)
	}
	grants = append([]store.Grant{{Grantee: r.account(), Permission: "FULL_CONTROL"}}, grants...)
	for _, g := range grants {
		writeGrant(x, g)
	}
	x.close("AccessControlList")
	return r.sendXML(http.StatusOK, x)
}

func writeGrant(x *document, g store.Grant) {
	x.open("Grant")
	x.open("Grantee")
	if strings.HasPrefix(g.Grantee, "http") {
		x.text("URI", g.Grantee)
	} else {
		x.text("ID", g.Grantee)
		x.text("DisplayName", g.Grantee)
	}
	x.close("Grantee")
	x.text("Permission", g.Permission)
	x.close("Grant")
}

func (r *request) getObjectACL() error {
	o, err := r.srv.store.Head(r.bucket, r.key, r.version())
	if err != nil {
		return err
	}
	return r.sendACL(o.ACL, "default")
}

func (r *request) putObjectACL() error {
	acl, err := r.readACL()
	if err != nil {
		return err
	}
	return r.update(http.StatusOK, func(o *store.Object) { o.ACL = acl })
}

// update changes an object in place and answers.
func (r *request) update(status int, change func(*store.Object)) error {
	err := r.srv.store.Update(r.bucket, r.key, r.version(), func(o *store.Object) error {
		change(o)
		return nil
	})
	if err != nil {
		return err
	}
	return r.send(status, "", nil)
}

func (r *request) getBucketACL() error { return r.sendACL(r.state.ACL, "private") }

func (r *request) putBucketACL() error {
	acl, err := r.readACL()
	if err != nil {
		return err
	}
	if err := r.srv.store.SetBucketACL(r.bucket, acl); err != nil {
		return err
	}
	return r.send(http.StatusOK, "", nil)
}

// tagBody is the document form of an object's tags.
type tagBody struct {
	Tags []struct{ Key, Value string } `xml:"TagSet>Tag"`
}

func (r *request) getTagging() error {
	o, err := r.srv.store.Head(r.bucket, r.key, r.version())
	if err != nil {
		return err
	}
	x := newDocument("Tagging")
	x.open("TagSet")
	for _, t := range o.Tags {
		x.open("Tag")
		x.text("Key", t.Name)
		x.text("Value", t.Value)
		x.close("Tag")
	}
	x.close("TagSet")
	return r.sendXML(http.StatusOK, x)
}

func (r *request) putTagging() error {
	var body tagBody
	if err := r.readXML(&body, false); err != nil {
		return err
	}
	var tags []store.Pair
	for _, t := range body.Tags {
		tags = append(tags, store.Pair{Name: t.Key, Value: t.Value})
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	return r.update(http.StatusOK, func(o *store.Object) { o.Tags = tags })
}

func (r *request) deleteTagging() error {
	return r.update(http.StatusNoContent, func(o *store.Object) { o.Tags = nil })
}
