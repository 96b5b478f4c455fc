package mount

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
	"cosfuse/fs"
	"cosfuse/test/internal/mounttest"
)

// between puts a proxy before a bucket for the time of the test: ask changes the queries of listings, tell their
// answers. nil changes nothing.
func between(t testing.TB, b *mounttest.Bucket, ask func(url.Values), tell func(q url.Values, xml []byte) []byte) *mounttest.Bucket {
	t.Helper()
	mounttest.NeedFUSE(t)
	to, err := url.Parse(b.URL)
	must(t, err)
	listing := func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Query().Has("prefix") }
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
			if q := p.Out.URL.Query(); listing(p.In) && ask != nil {
				ask(q)
				p.Out.URL.RawQuery = q.Encode()
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if !listing(r.Request) || tell == nil || r.StatusCode != http.StatusOK {
				return nil
			}
			xml, err := io.ReadAll(r.Body)
			if err := errors.Join(err, r.Body.Close()); err != nil {
				return err
			}
			xml = tell(r.Request.URL.Query(), xml)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(xml)), int64(len(xml))
			r.Header.Set("Content-Length", strconv.Itoa(len(xml)))
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	front := *b
	front.URL = proxy.URL
	return &front
}

// paged makes pages of so many keys.
func paged(n int) func(url.Values) {
	return func(q url.Values) {
		if q.Get("delimiter") != "" {
			q.Set("max-keys", strconv.Itoa(n))
		}
	}
}

// readNames reads a directory to its end, or to an error, without asking for anything else.
func readNames(path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	got, err := d.Readdirnames(-1)
	slices.Sort(got)
	return got, errors.Join(err, d.Close())
}

// TestPageCuts cuts listings between any two of the keys that sort on both sides of "a/", with files and
// directories of one name, and with changes of ours laid over them.
func TestPageCuts(t *testing.T) {
	b := mounttest.NewBucket(t, cosserver.Options{})
	for _, key := range []string{"d/", "d/a", "d/a!", "d/a-", "d/a-/x", "d/a.", "d/a/x", "d/a/y", "d/a0", "d/b/x", "d/c", "d/c /x", "d//x", "d/z\x01/../x"} {
		put(t, b, key, []byte(key))
	}
	want := []string{"a", "a!", "a-", "a-.~object", "a.", "a.~object", "a0", "b", "c", "c ", "z\x01"}
	for perPage := 1; perPage <= 13; perPage++ {
		t.Run(fmt.Sprint(perPage), func(t *testing.T) {
			v := between(t, b, paged(perPage), nil).Mount(t, mounttest.Options{})
			got, err := readNames(v.Path("d"))
			must(t, err)
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			for _, name := range want {
				isDir := slices.Contains([]string{"a", "a-", "b", "c ", "z\x01"}, name)
				if mode := stat(t, v.Path("d", name)).Mode & syscall.S_IFMT; isDir != (mode == syscall.S_IFDIR) {
					t.Errorf("%q: type %o", name, mode)
				}
			}
			wantFile(t, v.Path("d", "a.~object"), []byte("d/a"))
			write(t, v.Path("d", "a-.~object"), []byte("ours"))
			must(t, os.Remove(v.Path("d", "a0")))
			must(t, os.WriteFile(v.Path("d", "new"), []byte("x"), 0o644))
			got, err = readNames(v.Path("d"))
			must(t, err)
			changed := slices.Insert(slices.DeleteFunc(slices.Clone(want), func(n string) bool { return n == "a0" }), 9, "new")
			if !slices.Equal(got, changed) {
				t.Errorf("with changes of ours: %q, want %q", got, changed)
			}
			must(t, os.Remove(v.Path("d", "new")))
			must(t, v.Store.Sync(t.Context(), ""))
			put(t, b, "d/a0", []byte("d/a0"))
		})
	}
}

// TestSeekdir goes back and forth in a directory that is read page by page.
func TestSeekdir(t *testing.T) {
	b := mounttest.NewBucket(t, cosserver.Options{})
	var want []string
	for i := range 40 {
		name := fmt.Sprintf("n%02d", i)
		put(t, b, "d/"+name, nil)
		want = append(want, name)
	}
	v := between(t, b, paged(7), nil).Mount(t, mounttest.Options{})
	d, err := os.Open(v.Path("d"))
	must(t, err)
	defer func() { must(t, d.Close()) }()
	for range 3 {
		var got []string
		for len(got) < len(want) {
			some, err := d.Readdirnames(3)
			must(t, err)
			got = append(got, some...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		_, err = d.Seek(0, io.SeekStart)
		must(t, err)
	}
}

// TestFailingPages has the n-th page of a directory fail for good, and fail so often that trying again helps: what
// is shown is never short without an error.
func TestFailingPages(t *testing.T) {
	b := mounttest.NewBucket(t, cosserver.Options{})
	for i := range 9 {
		put(t, b, fmt.Sprintf("d/n%d", i), nil)
	}
	for page := range 3 {
		for _, broken := range []string{"<ListBucketResult>", "", "<Error><Code>InternalError</Code></Error>"} {
			var failing atomic.Bool
			failing.Store(true)
			tell := func(q url.Values, xml []byte) []byte {
				marker := ""
				if page > 0 {
					marker = fmt.Sprintf("d/n%d", page*3-1)
				}
				if failing.Load() && q.Get("delimiter") != "" && q.Get("marker") == marker {
					return []byte(broken)
				}
				return xml
			}
			v := between(t, b, paged(3), tell).Mount(t, mounttest.Options{})
			got, err := readNames(v.Path("d"))
			wantErrno(t, fmt.Sprintf("page %d is %q, %d names shown", page, broken, len(got)), err, syscall.EIO)
			var st syscall.Stat_t
			if err := syscall.Lstat(v.Path("d", "n8"), &st); err != nil {
				t.Errorf("page %d: a name of the last page is asked for by itself: %v", page, err)
			}
			failing.Store(false)
			if got, err := readNames(v.Path("d")); err != nil || len(got) != 9 {
				t.Errorf("page %d, once it is whole: %d names, error %v", page, len(got), err)
			}
			v.Stop(t)
		}
	}
	v := between(t, b, paged(3), nil).Mount(t, mounttest.Options{})
	defer v.Server.AddRule(cosserver.Rule{Op: "ListObjects", Action: cosserver.Fail, Status: 503, Limit: 2})()
	if got, err := readNames(v.Path("d")); err != nil || len(got) != 9 {
		t.Errorf("a service that fails twice: %d names, error %v", len(got), err)
	}
}

// TestStrangePages has the service answer with pages that no listing should have.
func TestStrangePages(t *testing.T) {
	b := mounttest.NewBucket(t, cosserver.Options{})
	for _, key := range []string{"d/a/x", "d/b/x", "d/c", "d/e"} {
		put(t, b, key, nil)
	}
	replace := func(expr, with string) func(url.Values, []byte) []byte {
		return func(q url.Values, xml []byte) []byte {
			if q.Get("delimiter") == "" {
				return xml
			}
			return regexp.MustCompile(expr).ReplaceAll(xml, []byte(with))
		}
	}
	empty := `<ListBucketResult><Name>b</Name><Prefix>d/</Prefix><Marker></Marker><MaxKeys>2</MaxKeys><Delimiter>/</Delimiter>` +
		`<IsTruncated>true</IsTruncated><NextMarker>d/a!</NextMarker></ListBucketResult>`
	tests := []struct {
		name string
		tell func(url.Values, []byte) []byte
		want syscall.Errno
	}{
		{"the marker stands still", replace(`<NextMarker>.*</NextMarker>`, `<NextMarker>d/a/</NextMarker>`), syscall.EIO},
		{"the marker goes back", replace(`<NextMarker>.*</NextMarker>`, `<NextMarker>d/</NextMarker>`), syscall.EIO},
		{"truncated without a marker", replace(`<NextMarker>.*</NextMarker>`, ``), syscall.EIO},
		{"a key of somewhere else", replace(`<Key>d/c</Key>`, `<Key>other</Key>`), syscall.EIO},
		{"truncated and empty", func(q url.Values, xml []byte) []byte {
			if q.Get("delimiter") != "" && q.Get("marker") == "" {
				return []byte(empty)
			}
			return xml
		}, 0},
		{"truncated, empty and without a marker", func(url.Values, []byte) []byte {
			return []byte(strings.Replace(empty, "<NextMarker>d/a!</NextMarker>", "", 1))
		}, syscall.EIO},
		{"pages of prefixes alone", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := between(t, b, paged(2), tt.tell).Mount(t, mounttest.Options{})
			began := v.Count("ListObjects")
			got, err := readNames(v.Path("d"))
			wantErrno(t, "readdir", err, tt.want)
			if want := []string{"a", "b", "c", "e"}; err == nil && !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if n := v.Count("ListObjects") - began; n > 50 {
				t.Errorf("%d listings were asked for", n)
			}
		})
	}
}

// TestFirstPageComesAtOnce reads the beginning of a directory whose later pages the service does not answer.
func TestFirstPageComesAtOnce(t *testing.T) {
	b := mounttest.NewBucket(t, cosserver.Options{})
	answer := make(chan struct{})
	v := between(t, b, nil, func(q url.Values, xml []byte) []byte {
		if q.Get("marker") != "" {
			<-answer
		}
		return xml
	}).Mount(t, mounttest.Options{})
	want := bigDir(t, v, 2500)
	d, err := os.Open(v.Path("d"))
	must(t, err)
	got, err := d.Readdirnames(990) // not all of the page: file "a" waits until directory "a" is ruled out
	must(t, errors.Join(err, d.Close()))
	if !slices.Equal(got, want[:990]) {
		t.Errorf("%d names, want the first", len(got))
	}
	close(answer)
	if got, err := readNames(v.Path("d")); err != nil || !slices.Equal(got, want) {
		t.Errorf("%d names, error %v; want %d", len(got), err, len(want))
	}
}

// TestColdListing is ls of a directory that nobody has seen, against the same listings by the client alone.
func TestColdListing(t *testing.T) {
	const n = 5000
	v := mounttest.New(t, mounttest.Options{})
	want := bigDir(t, v, n)
	v.Server.SetShape(cosserver.Shape{Latency: latency})
	began := time.Now()
	for o := (cos.ListOptions{Prefix: "d/", Delimiter: "/"}); ; {
		p, err := v.Client.List(t.Context(), &o)
		must(t, err)
		if o.Marker = p.NextMarker; !p.Truncated {
			break
		}
	}
	alone := time.Since(began)
	v.Server.ResetStats()
	began = time.Now()
	out, err := exec.CommandContext(t.Context(), "ls", "--color=never", v.Path("d")).Output()
	took := time.Since(began)
	must(t, err)
	t.Logf("ls of %d names: %v; the same listings by the client alone: %v", n, took, alone)
	if got := strings.Fields(string(out)); !slices.Equal(got, want) {
		t.Errorf("%d names, want %d", len(got), n)
	}
	if stats := v.Server.Stats(); stats.Requests() > n/1000+2 || v.Count("ListObjects") > n/1000+1 {
		t.Errorf("%v, want %d LIST and two to find the directory", stats, n/1000)
	}
}

// TestFirstLookupIsOneRoundTrip stats names of directories that were never listed.
func TestFirstLookupIsOneRoundTrip(t *testing.T) {
	v := mounttest.New(t, mounttest.Options{FS: fs.Options{NegativeTTL: time.Hour}})
	for _, dir := range []string{"x", "y", "z"} {
		for i := range 5 {
			put(t, v.Bucket, fmt.Sprintf("%s/f%d", dir, i), []byte("x"))
		}
		stat(t, v.Path(dir))
	}
	v.Server.SetShape(cosserver.Shape{Latency: 50 * time.Millisecond})
	for _, name := range []string{"x/f1", "y/absent", "z/absent"} {
		v.Server.ResetStats()
		var st syscall.Stat_t
		err := syscall.Lstat(v.Path(name), &st)
		if strings.HasSuffix(name, "absent") {
			wantErrno(t, name, err, syscall.ENOENT)
		} else {
			must(t, err)
		}
		log := v.Server.Log()
		for _, r := range log[1:] {
			if r.Start.After(log[0].End) {
				t.Errorf("%s: %s %q began after the end of %s %q", name, r.Op, r.Key, log[0].Op, log[0].Key)
			}
		}
	}
}
