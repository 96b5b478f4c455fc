package cos

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const listPage = `<?xml version='1.0' encoding='utf-8' ?>
<ListBucketResult><Name>examplebucket-1250000000</Name><EncodingType>url</EncodingType><Prefix>d/</Prefix><Marker/><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter>
<IsTruncated>true</IsTruncated><NextMarker>d/z%2Bq/</NextMarker><CommonPrefixes><Prefix>d/a%20b/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>d/z%2Bq/</Prefix></CommonPrefixes>
<Contents><Key>d/</Key><LastModified>2020-12-10T03:37:30.000Z</LastModified><ETag>&quot;aa&quot;</ETag><Size>0</Size><Owner><ID>1250000000</ID><DisplayName>1250000000</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>d/%E8%85%BE+%01</Key><LastModified>2020-12-10T03:37:31.500Z</LastModified><ETag>"bb-2"</ETag><Size>5368709120</Size><StorageClass>ARCHIVE</StorageClass></Contents></ListBucketResult>`

func TestList(t *testing.T) {
	s, c := newScript(t, nil, reply(200, listPage, "Date", "Thu, 16 May 2019 06:45:52 GMT"))
	page, err := c.List(context.Background(), &ListOptions{Prefix: "d/", Delimiter: "/", MaxKeys: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := []ListEntry{
		{Key: "d/", ETag: "aa", StorageClass: "STANDARD", LastModified: time.Date(2020, 12, 10, 3, 37, 30, 0, time.UTC)},
		{Key: "d/腾+\x01", Size: 5 << 30, ETag: "bb-2", StorageClass: "ARCHIVE", LastModified: time.Date(2020, 12, 10, 3, 37, 31, 5e8, time.UTC)},
	}
	if !slices.Equal(page.Entries, want) || !slices.Equal(page.CommonPrefixes, []string{"d/a b/", "d/z+q/"}) || !page.Truncated || page.NextMarker != "d/z+q/" || page.ServerTime.Unix() != 1557989152 {
		t.Errorf("page = %+v", page)
	}
	if got := s.only(); got.Method != "GET" || got.URI != "/?delimiter=%2F&encoding-type=url&max-keys=2&prefix=d%2F" {
		t.Errorf("request = %s %s", got.Method, got.URI)
	}
}

func TestListPagesRefused(t *testing.T) {
	entry := func(key string) string {
		return "<Contents><Key>" + key + "</Key><LastModified>2020-12-10T03:37:30.000Z</LastModified><Size>1</Size></Contents>"
	}
	const end = "<IsTruncated>false</IsTruncated></ListBucketResult>"
	for name, doc := range map[string]string{
		"empty body":           "",
		"white space":          " \n",
		"not XML":              "OK",
		"another document":     "<Other/>",
		"cut after an entry":   listPage[:strings.Index(listPage, "</ListBucketResult>")],
		"cut in a tag":         listPage[:len(listPage)-3],
		"cut in a key":         listPage[:len(listPage)-200],
		"more after the root":  listPage + "<x/>",
		"end unknown":          "<ListBucketResult/>",
		"end unclear":          "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
		"no next marker":       "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
		"marker goes back":     "<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker>k</NextMarker></ListBucketResult>",
		"key before marker":    "<ListBucketResult>" + entry("k") + end,
		"bad encoding":         "<ListBucketResult><EncodingType>url</EncodingType>" + entry("x%zz") + end,
		"no key":               "<ListBucketResult>" + strings.Replace(entry("x"), "<Key>x</Key>", "", 1) + end,
		"empty key":            "<ListBucketResult>" + entry("") + end,
		"no size":              "<ListBucketResult>" + strings.Replace(entry("x"), "<Size>1</Size>", "", 1) + end,
		"negative size":        "<ListBucketResult>" + strings.Replace(entry("x"), ">1<", ">-1<", 1) + end,
		"no time":              "<ListBucketResult>" + strings.Replace(entry("x"), "2020", "soon", 1) + end,
		"illegal character":    "<ListBucketResult>" + entry("x\x01") + end,
		"illegal reference":    "<ListBucketResult>" + entry("x&#1;") + end,
		"unknown entity":       "<ListBucketResult>" + entry("x&nbsp;") + end,
		"not UTF-8":            "<ListBucketResult>" + entry("x\xff") + end,
		"tags cross":           "<ListBucketResult><Contents></ListBucketResult></Contents>",
		"document type":        "<!DOCTYPE x><ListBucketResult>" + end,
		"text around the root": "x<ListBucketResult>" + end,
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newScript(t, func(o *Options) { o.Attempts = 2 }, reply(200, doc))
			page, err := c.List(context.Background(), &ListOptions{Marker: "k"})
			if !errors.Is(err, ErrBadResponse) {
				t.Errorf("page = %+v, error = %v, want ErrBadResponse", page, err)
			}
			if n := len(s.seen()); n != 2 {
				t.Errorf("%d attempts, want 2: a bad page may be a broken connection", n)
			}
		})
	}
	_, c := newScript(t, nil, reply(200, "<ListBucketResult>"+entry("other")+end))
	if _, err := c.List(context.Background(), &ListOptions{Prefix: "p/"}); !errors.Is(err, ErrBadResponse) {
		t.Errorf("key outside the prefix: %v, want ErrBadResponse", err)
	}
	_, c = newScript(t, nil, refusal(200, "AccessDenied"), refusal(404, "NoSuchBucket"))
	if _, err := c.List(context.Background(), nil); !errors.Is(err, ErrNoSuchBucket) {
		t.Errorf("errors instead of a listing: %v, want ErrNoSuchBucket", err)
	}
}

func TestListIsBounded(t *testing.T) {
	_, c := newScript(t, func(o *Options) { o.Attempts = 1 }, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<ListBucketResult>")
		for pad := strings.Repeat(" ", 1<<20); ; {
			if _, err := io.WriteString(w, pad); err != nil {
				return
			}
		}
	})
	if _, err := c.List(context.Background(), nil); !errors.Is(err, ErrBadResponse) {
		t.Errorf("endless listing: %v, want ErrBadResponse", err)
	}
}

func TestScanOddities(t *testing.T) {
	const doc = "\ufeff" + `<?xml version="1.0"?><!-- <Contents> --><c:ListBucketResult xmlns:c="urn:x" a = 'y>z'>
<IsTruncated>fal<!-- x -->se</IsTruncated><Unknown><Key>no</Key><Contents><Key>neither</Key></Contents></Unknown>
<c:Contents><Owner><Key>no</Key></Owner><Key a="&gt;"><![CDATA[a<b>&]]>&amp;&#65;&#x42;&lt;<Deep>no</Deep>c</Key><Size>7</Size><Size>8</Size></c:Contents>
</c:ListBucketResult><!-- end --> `
	page, err := scanList([]byte(strings.TrimPrefix(doc, "\ufeff")))
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Entries) != 1 || page.Entries[0].Size != 8 {
		t.Fatalf("page = %+v", page)
	}
	ref, err := referenceList([]byte(strings.TrimPrefix(doc, "\ufeff")))
	if err != nil || page.Entries[0].Key != ref.Entries[0].Key || page.Entries[0].Key != "a<b>&&AB<c" {
		t.Errorf("key = %q, reference %q, %v", page.Entries[0].Key, ref.Entries[0].Key, err)
	}
}

// referenceList is the listing as encoding/xml sees it.
func referenceList(doc []byte) (ListPage, error) {
	d := xml.NewDecoder(strings.NewReader(string(doc)))
	s := listScanner{page: ListPage{Entries: []ListEntry{}}}
	var path []field
	var texts []string
	for {
		tok, err := d.Token()
		if err != nil {
			return ListPage{}, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			switch {
			case len(path) > 0:
				path = append(path, path[len(path)-1].child([]byte(tok.Name.Local)))
			case tok.Name.Local == "ListBucketResult":
				path = append(path, fieldRoot)
			default:
				return ListPage{}, errors.New("not a listing")
			}
			texts = append(texts, "")
			if path[len(path)-1] == fieldContents {
				s.entry, s.has = ListEntry{}, entryFields{}
			}
		case xml.CharData:
			if len(texts) > 0 {
				texts[len(texts)-1] += string(tok)
			} else if strings.TrimSpace(string(tok)) != "" {
				return ListPage{}, errors.New("text outside")
			}
		case xml.EndElement:
			s.text = []byte(texts[len(texts)-1])
			if err := s.close(path[len(path)-1]); err != nil {
				return ListPage{}, err
			}
			path, texts = path[:len(path)-1], texts[:len(texts)-1]
			if len(path) == 0 {
				return finishReference(d, s)
			}
		case xml.Directive:
			return ListPage{}, errors.New("declaration")
		}
	}
}

func finishReference(d *xml.Decoder, s listScanner) (ListPage, error) {
	for {
		tok, err := d.Token()
		switch tok := tok.(type) {
		case xml.StartElement, xml.Directive:
			return ListPage{}, errors.New("more after the root")
		case xml.CharData:
			if strings.TrimSpace(string(tok)) != "" {
				return ListPage{}, errors.New("more after the root")
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return ListPage{}, err
		}
	}
	var err error
	if s.page.Truncated, err = parseBool(s.truncated); err == nil && s.encoded {
		err = s.page.decode()
	}
	return s.page, err
}

// FuzzList: what encoding/xml reads as a listing, the scanner reads alike. It may be more lenient
// about names and attributes, where nothing that is kept comes from.
func FuzzList(f *testing.F) {
	f.Add([]byte(listPage))
	f.Add([]byte("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"))
	f.Add([]byte("<a:ListBucketResult xmlns:a='x'><IsTruncated>false</IsTruncated><Contents><Key>a\r\nb&#xD;&quot;<![CDATA[<]]></Key><Size>1</Size><x/></Contents></a:ListBucketResult>"))
	f.Add([]byte("<Error><Code>AccessDenied</Code></Error>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := scanList(doc)
		want, wantErr := referenceList(doc)
		if wantErr != nil {
			return
		}
		if err != nil {
			t.Fatalf("scanner refuses %q: %v", doc, err)
		}
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
			t.Fatalf("scanner reads %q\n as %s\nnot %s", doc, g, w)
		}
	})
}

func thousand() []byte {
	var b strings.Builder
	b.WriteString("<?xml version='1.0' encoding='utf-8' ?><ListBucketResult><Name>b-1</Name><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>")
	for i := range 1000 {
		b.WriteString("<Contents><Key>some/directory/of%20files/file-" + strconv.Itoa(10000+i) + ".txt</Key><LastModified>2020-12-10T03:37:30.000Z</LastModified>" +
			"<ETag>&quot;ee8de918d05640145b18f70f4c3aa602&quot;</ETag><Size>123456</Size><Owner><ID>1250000000</ID><DisplayName>1250000000</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>")
	}
	b.WriteString("</ListBucketResult>")
	return []byte(b.String())
}

func BenchmarkList(b *testing.B) {
	doc := thousand()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if page, err := scanList(doc); err != nil || len(page.Entries) != 1000 {
			b.Fatal(len(page.Entries), err)
		}
	}
}

func BenchmarkListEncodingXML(b *testing.B) {
	doc := thousand()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		var page struct {
			Contents []struct {
				Key, LastModified, ETag, StorageClass string
				Size                                  int64
			}
		}
		if err := xml.Unmarshal(doc, &page); err != nil || len(page.Contents) != 1000 {
			b.Fatal(len(page.Contents), err)
		}
	}
}

func TestParseTime(t *testing.T) {
	for _, text := range []string{
		"2020-12-10T03:37:30.000Z", "2024-02-29T23:59:59.999Z", "2023-02-29T00:00:00.000Z", "2020-13-01T00:00:00.000Z", "2020-00-01T00:00:00.000Z",
		"2020-12-32T00:00:00.000Z", "2020-12-00T00:00:00.000Z", "2020-12-10T24:00:00.000Z", "2020-12-10T03:60:00.000Z", "2020-12-10T03:37:60.000Z",
		"2020-12-10T03:37:30Z", "2020-12-10T03:37:30.12Z", "2020-12-10T03:37:30+08:00", "", "2020-12-10 03:37:30.000Z",
	} {
		want, err := time.Parse(time.RFC3339, text)
		got, ok := parseTime([]byte(text))
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Errorf("parseTime(%q) = %v, %v, want %v, %v", text, got, ok, want, err)
		}
	}
	for text, want := range map[string]int64{"0": 0, "9223372036854775807": -1, "9223372036854775790": 9223372036854775790, "99999999999999999999": -1, "": -1, "-1": -1, "1 ": -1} {
		if got, ok := parseDigits([]byte(text)); ok != (want >= 0) || ok && got != want {
			t.Errorf("parseDigits(%q) = %d, %v, want %d", text, got, ok, want)
		}
	}
}

func TestListUploads(t *testing.T) {
	const page = `<ListMultipartUploadsResult><Bucket>b</Bucket><Encoding-Type>url</Encoding-Type><KeyMarker/><UploadIdMarker/><NextKeyMarker>d/b%20c</NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker>
<MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated><Prefix>d/</Prefix><Delimiter>/</Delimiter>
<Upload><Key>d/a%2Bb</Key><UploadId>u1</UploadId><StorageClass>Standard</StorageClass><Initiator><ID>me</ID></Initiator><Owner><ID>us</ID></Owner><Initiated>2017-08-08T11:40:48.000Z</Initiated></Upload>
<Upload><Key>d/b%20c</Key><UploadID>u2</UploadID></Upload><CommonPrefixes><Prefix>d/e%20/</Prefix></CommonPrefixes></ListMultipartUploadsResult>`
	s, c := newScript(t, nil, reply(200, page))
	res, err := c.ListUploads(context.Background(), &ListUploadsOptions{Prefix: "d/", Delimiter: "/", KeyMarker: "d/", UploadIDMarker: "u0", MaxUploads: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := []UploadInfo{
		{Key: "d/a+b", UploadID: "u1", StorageClass: "Standard", Initiated: time.Date(2017, 8, 8, 11, 40, 48, 0, time.UTC), Initiator: "me", Owner: "us"},
		{Key: "d/b c", UploadID: "u2"},
	}
	if !slices.Equal(res.Uploads, want) || !slices.Equal(res.CommonPrefixes, []string{"d/e /"}) || !res.Truncated || res.NextKeyMarker != "d/b c" || res.NextUploadIDMarker != "u2" {
		t.Errorf("page = %+v", res)
	}
	if got := s.only().URI; got != "/?delimiter=%2F&encoding-type=url&key-marker=d%2F&max-uploads=2&prefix=d%2F&upload-id-marker=u0&uploads" {
		t.Errorf("request = %s", got)
	}
	_, c = newScript(t, nil, reply(200, page))
	if _, err := c.ListUploads(context.Background(), &ListUploadsOptions{KeyMarker: "d/b c", UploadIDMarker: "u2"}); !errors.Is(err, ErrBadResponse) {
		t.Errorf("markers in a circle: %v, want ErrBadResponse", err)
	}
}
