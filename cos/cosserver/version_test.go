package cosserver

import (
	"slices"
	"strings"
	"testing"
)

type versions struct {
	IsTruncated, NextKeyMarker, NextVersionIdMarker string
	Version                                         []struct {
		Key, VersionId string
		IsLatest       bool
		Size           int64
	}
	DeleteMarker []struct {
		Key, VersionId string
		IsLatest       bool
	}
	CommonPrefixes []struct{ Prefix string }
}

func (c *client) versions(query string) *versions {
	c.t.Helper()
	var v versions
	unmarshal(c.t, c.want(200, "", "GET", "/?versions"+query, "", nil).body, &v)
	return &v
}

func TestVersions(t *testing.T) {
	c := start(t, Options{Buckets: []Bucket{{Name: "v-1", Versioning: "Enabled"}}})
	v1 := c.put("k", "one").header.Get("x-cos-version-id")
	v2 := c.put("k", bulk(50_000)).header.Get("x-cos-version-id")
	if v1 == "" || v1 == v2 {
		t.Fatalf("versions %q and %q", v1, v2)
	}
	if got := c.get("k?versionId=" + v1); got != "one" {
		t.Errorf("first version: %q", got)
	}
	if got := c.get("k"); got != bulk(50_000) {
		t.Errorf("current version has %d bytes", len(got))
	}
	c.want(404, "NoSuchVersion", "GET", "/k?versionId=none", "", nil)

	del := c.want(204, "", "DELETE", "/k", "", nil)
	marker := del.header.Get("x-cos-version-id")
	if del.header.Get("x-cos-delete-marker") != "true" || marker == "" {
		t.Errorf("delete: %v", del.header)
	}
	c.want(404, "NoSuchKey", "GET", "/k", "", nil)
	if r := c.want(404, "NoSuchKey", "GET", "/k?versionId="+marker, "", nil); r.header.Get("x-cos-delete-marker") != "true" {
		t.Errorf("get of a marker: %v", r.header)
	}
	if l := c.list(); len(l.Contents) != 0 {
		t.Errorf("listing shows %+v", l.Contents)
	}
	all := c.versions("")
	if len(all.Version) != 2 || len(all.DeleteMarker) != 1 || !all.DeleteMarker[0].IsLatest ||
		all.Version[0].VersionId != v2 || all.Version[1].VersionId != v1 || all.Version[0].IsLatest {
		t.Errorf("versions %+v", all)
	}

	// Removing the marker, then the newest version, brings older ones back.
	c.want(204, "", "DELETE", "/k?VersionId="+marker, "", nil)
	if got := c.get("k"); len(got) != 50_000 {
		t.Errorf("after the marker went: %d bytes", len(got))
	}
	c.want(200, "", "PUT", "/k", "", h("x-cos-copy-source", c.host+"/k?versionId="+v1))
	if got := c.get("k"); got != "one" {
		t.Errorf("copy of the first version: %q", got)
	}
	c.want(204, "", "DELETE", "/k?versionId="+c.versions("").Version[0].VersionId, "", nil)
	c.want(204, "", "DELETE", "/k?versionId="+v2, "", nil)
	if got := c.get("k"); got != "one" {
		t.Errorf("the last version: %q", got)
	}
	c.want(409, "BucketNotEmpty", "DELETE", "/", "", nil)
	c.want(204, "", "DELETE", "/k?versionId="+v1, "", nil)
	c.want(404, "NoSuchKey", "GET", "/k", "", nil)
	c.want(204, "", "DELETE", "/", "", nil)
}

func TestVersioningTurnedOnLater(t *testing.T) {
	c := start(t, Options{})
	status := func(s string) string {
		return "<VersioningConfiguration><Status>" + s + "</Status></VersioningConfiguration>"
	}
	c.put("old", "old")
	c.want(204, "", "DELETE", "/old?versionId=other", "", nil) // which it is not
	c.want(200, "", "PUT", "/?versioning", status("Enabled"), nil)
	newer := c.put("old", "new").header.Get("x-cos-version-id")
	if got := c.get("old?versionId=null"); got != "old" {
		t.Errorf("what was there: %q", got)
	}
	c.want(200, "", "PUT", "/?versioning", status("Suspended"), nil)
	if r := c.put("old", "newest"); r.header.Get("x-cos-version-id") != "" {
		t.Error("a suspended bucket tells a version")
	}
	var ids []string
	for _, v := range c.versions("").Version {
		ids = append(ids, v.VersionId)
	}
	if want := []string{"null", newer}; !slices.Equal(ids, want) {
		t.Errorf("versions %q, want %q", ids, want)
	}
	c.want(204, "", "DELETE", "/old", "", nil)
	if v := c.versions(""); len(v.DeleteMarker) != 1 || v.DeleteMarker[0].VersionId != "null" || len(v.Version) != 1 {
		t.Errorf("after a delete: %+v", v)
	}
	c.want(200, "", "PUT", "/keep", "x", h("x-cos-forbid-overwrite", "true"))
	c.want(200, "", "PUT", "/keep", "x", h("x-cos-forbid-overwrite", "true")) // void here
	if r := c.want(200, "", "GET", "/?versioning", "", nil); !strings.Contains(r.body, "Suspended") {
		t.Errorf("versioning: %q", r.body)
	}
}

func TestVersionPages(t *testing.T) {
	c := start(t, Options{Buckets: []Bucket{{Name: "v-1", Versioning: "Enabled"}}})
	for _, k := range []string{"a", "a", "b", "d/x", "d/y", "a"} {
		c.put(k, "")
	}
	c.want(204, "", "DELETE", "/b", "", nil)
	var got []string
	latest := 0
	query := ""
	for range 20 {
		v := c.versions("&max-keys=1&delimiter=/" + query)
		for _, e := range v.Version {
			got = append(got, e.Key)
			if e.IsLatest {
				latest++
			}
		}
		for _, e := range v.DeleteMarker {
			got = append(got, e.Key+" marker")
			if e.IsLatest {
				latest++
			}
		}
		for _, p := range v.CommonPrefixes {
			got = append(got, p.Prefix)
		}
		query = "&key-marker=" + v.NextKeyMarker + "&version-id-marker=" + v.NextVersionIdMarker
		if v.IsTruncated == "false" {
			break
		}
	}
	if want := []string{"a", "a", "a", "b marker", "b", "d/"}; !slices.Equal(got, want) || latest != 2 {
		t.Errorf("got %q with %d latest, want %q with 2", got, latest, want)
	}
}
