package sdk

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"
)

func TestACL(t *testing.T) {
	c := newClient(t)
	put(t, c, "dir/k", []byte("v"))
	anyone := clientOf(t, c.BaseURL.BucketURL.String(), http.DefaultTransport)
	_, err := anyone.Object.Get(t.Context(), "dir/k", nil)
	wantError(t, err, 403, "AccessDenied")

	_, err = c.Object.PutACL(t.Context(), "dir/k", &cos.ObjectPutACLOptions{Header: &cos.ACLHeaderOptions{XCosACL: "public-read"}})
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "read by anyone", get(t, anyone, "dir/k"), []byte("v"))
	_, err = anyone.Object.Put(t.Context(), "dir/k", strings.NewReader("w"), nil)
	wantError(t, err, 403, "AccessDenied")
	acl, resp, err := c.Object.GetACL(t.Context(), "dir/k")
	if err != nil {
		t.Fatal(err)
	}
	wantHeader(t, resp.Header, "x-cos-acl", "public-read")
	if acl.Owner == nil || acl.Owner.ID == "" || len(acl.AccessControlList) == 0 {
		t.Errorf("got %+v, want an owner and grants", acl)
	}
}

func TestTagging(t *testing.T) {
	c := newClient(t)
	put(t, c, "dir/k", []byte("v"))
	want := []cos.ObjectTaggingTag{{Key: "a b", Value: "c+d"}, {Key: "e", Value: "f"}}
	if _, err := c.Object.PutTagging(t.Context(), "dir/k", &cos.ObjectPutTaggingOptions{TagSet: want}); err != nil {
		t.Fatal(err)
	}
	got, _, err := c.Object.GetTagging(t.Context(), "dir/k")
	if err != nil || !slices.Equal(got.TagSet, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := c.Object.DeleteTagging(t.Context(), "dir/k"); err != nil {
		t.Fatal(err)
	}
	got, _, err = c.Object.GetTagging(t.Context(), "dir/k")
	if err == nil && len(got.TagSet) > 0 {
		t.Errorf("after delete: got %v", got.TagSet)
	}
}

// TestVersions overwrites and deletes in a versioned bucket and finds everything again.
func TestVersions(t *testing.T) {
	c := newClient(t)
	if state, _, err := c.Bucket.GetVersioning(t.Context()); err != nil || state.Status != "" {
		t.Fatalf("at first: got %+v, %v, want no status", state, err)
	}
	if _, err := c.Bucket.PutVersioning(t.Context(), &cos.BucketPutVersionOptions{Status: "Enabled"}); err != nil {
		t.Fatal(err)
	}
	first := put(t, c, "k", []byte("one")).Header.Get("x-cos-version-id")
	second := put(t, c, "k", []byte("two")).Header.Get("x-cos-version-id")
	if first == "" || first == second {
		t.Fatalf("version ids %q and %q", first, second)
	}
	del, err := c.Object.Delete(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	wantHeader(t, del.Header, "x-cos-delete-marker", "true")
	marker := del.Header.Get("x-cos-version-id")
	_, err = c.Object.Get(t.Context(), "k", nil)
	wantError(t, err, 404, "NoSuchKey")

	for id, want := range map[string]string{first: "one", second: "two"} {
		resp, err := c.Object.Get(t.Context(), "k", nil, id)
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, id, readBody(t, resp), []byte(want))
	}
	all, _, err := c.Bucket.GetObjectVersions(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Version) != 2 || all.Version[0].VersionId != second || len(all.DeleteMarker) != 1 || !all.DeleteMarker[0].IsLatest {
		t.Errorf("versions: got %+v", all)
	}
	if _, err := c.Object.Delete(t.Context(), "k", &cos.ObjectDeleteOptions{VersionId: marker}); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "once the marker is gone", get(t, c, "k"), []byte("two"))
}

// TestArchive asks for an archived object before and after it was asked to be restored.
func TestArchive(t *testing.T) {
	c := newClient(t)
	_, err := c.Object.Put(t.Context(), "k", strings.NewReader("v"), &cos.ObjectPutOptions{
		ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{XCosStorageClass: "ARCHIVE"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Object.Get(t.Context(), "k", nil)
	wantError(t, err, 403, "InvalidObjectState")
	resp, err := c.Object.PostRestore(t.Context(), "k", &cos.ObjectRestoreOptions{Days: 1, Tier: &cos.CASJobParameters{Tier: "Expedited"}})
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("restore: got %v, %v, want 202", resp, err)
	}
	head, err := c.Object.Head(t.Context(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantHeader(t, head.Header, "x-cos-restore", `ongoing-request="true"`)
	_, err = c.Object.PostRestore(t.Context(), "k", &cos.ObjectRestoreOptions{Days: 1})
	wantError(t, err, 409, "RestoreAlreadyInProgress")
}

func TestService(t *testing.T) {
	c := newClient(t)
	c.Host = "service.cos.myqcloud.com"
	res, _, err := c.Service.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Buckets) != 1 || res.Buckets[0].Name != bucket || res.Buckets[0].Region != region {
		t.Errorf("got %+v, want one bucket %s in %s", res.Buckets, bucket, region)
	}
	if _, err := time.Parse(time.RFC3339, res.Buckets[0].CreationDate); err != nil {
		t.Error(err)
	}
}
