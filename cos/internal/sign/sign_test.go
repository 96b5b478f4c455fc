package sign

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	exampleID   = "AKIDEXAMPLE0000000000000000000000000"
	exampleKey  = "EXAMPLEKEY0000000000000000000000"
	exampleTime = "1700000000;1700003600"
	exampleHost = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"
	docID       = "AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q"
	docKey      = "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz"
	docHost     = "examplebucket-1250000000.cos.ap-beijing.myqcloud.com"
	oddKey      = "/dir/a b+c%d~e*'()!/腾讯云.txt"
	prefix      = "q-sign-algorithm=sha1&q-ak=" + exampleID + "&q-sign-time=" + exampleTime + "&q-key-time=" + exampleTime
)

// golden are requests whose signatures are known from other implementations.
var golden = []struct {
	name         string
	id, key      string
	keyTime      string
	method, path string
	params       url.Values
	headers      map[string][]string
	httpString   string // "" = not known
	stringToSign string
	auth         string // "" = not known
	signature    string
}{
	{
		name: "V1 plain get", id: exampleID, key: exampleKey, keyTime: exampleTime,
		method: "GET", path: "/exampleobject",
		headers:      header("Host", exampleHost),
		httpString:   "get\n/exampleobject\n\nhost=" + exampleHost + "\n",
		stringToSign: "sha1\n" + exampleTime + "\n7ea33791cd867bae3db67145e6cb06958f2a62e7\n",
		auth:         prefix + "&q-header-list=host&q-url-param-list=&q-signature=2f718abe4f4a0321bd6ed4be08b554c2640e4a54",
		signature:    "2f718abe4f4a0321bd6ed4be08b554c2640e4a54",
	},
	{
		name: "V2 append to an odd key", id: exampleID, key: exampleKey, keyTime: exampleTime,
		method: "POST", path: oddKey,
		params:       url.Values{"append": {""}, "position": {"1024"}},
		headers:      header("Host", exampleHost, "Content-Length", "5", "Content-Type", "text/plain; charset=utf-8"),
		httpString:   "post\n" + oddKey + "\nappend=&position=1024\ncontent-length=5&content-type=text%2Fplain%3B%20charset%3Dutf-8&host=" + exampleHost + "\n",
		stringToSign: "sha1\n" + exampleTime + "\n9bc6ec52274755ec65ce9884402a6f55db7d3015\n",
		auth:         prefix + "&q-header-list=content-length;content-type;host&q-url-param-list=append;position&q-signature=1c9cea7aa4caf9adf1cf31723b44258540c5b842",
		signature:    "1c9cea7aa4caf9adf1cf31723b44258540c5b842",
	},
	{
		name: "V3 list", id: exampleID, key: exampleKey, keyTime: exampleTime,
		method: "GET", path: "/",
		params: url.Values{
			"prefix": {"dir/a b+腾/"}, "delimiter": {"/"}, "encoding-type": {"url"},
			"max-keys": {"1000"}, "marker": {"dir/~x*(1)'!"},
		},
		headers:      header("Host", exampleHost),
		httpString:   "get\n/\ndelimiter=%2F&encoding-type=url&marker=dir%2F~x%2A%281%29%27%21&max-keys=1000&prefix=dir%2Fa%20b%2B%E8%85%BE%2F\nhost=" + exampleHost + "\n",
		stringToSign: "sha1\n" + exampleTime + "\ned5070aed469c739e1b65442f8ebab01c5cae370\n",
		auth:         prefix + "&q-header-list=host&q-url-param-list=delimiter;encoding-type;marker;max-keys;prefix&q-signature=dc4db8d174512f38780eab5f39a603bec2da1dd2",
		signature:    "dc4db8d174512f38780eab5f39a603bec2da1dd2",
	},
	{
		name: "V4 copy with a token", id: exampleID, key: exampleKey, keyTime: exampleTime,
		method: "PUT", path: "/dst//x",
		headers: header("Host", exampleHost, "Content-Length", "0", "Content-Type", "application/octet-stream",
			"If-Match", `"abc"`, "x-cos-copy-source", exampleHost+"/src/a%20b%2Bc", "x-cos-meta-mode", "33188",
			"x-cos-metadata-directive", "Replaced", "x-cos-security-token", "tok+/=en"),
		httpString: "put\n/dst//x\n\ncontent-length=0&content-type=application%2Foctet-stream&host=" + exampleHost +
			"&if-match=%22abc%22&x-cos-copy-source=" + exampleHost + "%2Fsrc%2Fa%2520b%252Bc&x-cos-meta-mode=33188" +
			"&x-cos-metadata-directive=Replaced&x-cos-security-token=tok%2B%2F%3Den\n",
		stringToSign: "sha1\n" + exampleTime + "\n52c70ac7ac651d094607d52d100691480c2b9ce8\n",
		auth: prefix + "&q-header-list=content-length;content-type;host;if-match;x-cos-copy-source;x-cos-meta-mode;" +
			"x-cos-metadata-directive;x-cos-security-token&q-url-param-list=&q-signature=81c3875570e4502ea776a6a5f72308e8d72d4a0d",
		signature: "81c3875570e4502ea776a6a5f72308e8d72d4a0d",
	},
	{
		name: "V5 upload part", id: exampleID, key: exampleKey, keyTime: exampleTime,
		method: "PUT", path: "/k",
		params:       url.Values{"partNumber": {"2"}, "uploadId": {"1585130821cbb7df"}},
		headers:      header("Host", exampleHost, "Content-Length", "1048576"),
		httpString:   "put\n/k\npartnumber=2&uploadid=1585130821cbb7df\ncontent-length=1048576&host=" + exampleHost + "\n",
		stringToSign: "sha1\n" + exampleTime + "\n81e1f35a15ac5e9cdd5551760092e601c41c1b5f\n",
		auth:         prefix + "&q-header-list=content-length;host&q-url-param-list=partnumber;uploadid&q-signature=73e5f06e0bd26078728b3454ee416214b4d77d47",
		signature:    "73e5f06e0bd26078728b3454ee416214b4d77d47",
	},
	{
		name: "V6 presigned get", id: exampleID, key: exampleKey, keyTime: exampleTime,
		method: "GET", path: oddKey,
		params:       url.Values{"response-content-type": {"text/plain"}},
		headers:      header("Host", exampleHost),
		httpString:   "get\n" + oddKey + "\nresponse-content-type=text%2Fplain\nhost=" + exampleHost + "\n",
		stringToSign: "sha1\n" + exampleTime + "\na8fe09e1e875aaee2b8d56a04b01c33b005cead0\n",
		signature:    "78a2218aa4777a11e701398cb7c87d7930b378b5",
	},
	{
		name: "V7 documented put", id: docID, key: docKey, keyTime: "1557989151;1557996351",
		method: "PUT", path: "/exampleobject(腾讯云)",
		headers: header("Host", docHost, "Date", "Thu, 16 May 2019 06:45:51 GMT", "Content-Type", "text/plain",
			"Content-Length", "13", "Content-MD5", "mQ/fVh815F3k6TAUm8m0eg==", "x-cos-acl", "private",
			"x-cos-grant-read", `uin="100000000011"`),
		stringToSign: "sha1\n1557989151;1557996351\n8b2751e77f43a0995d6e9eb9477f4b685cca4172\n",
		signature:    "3b8851a11a569213c17ba8fa7dcf2abec6935172",
	},
	{
		name: "V8 documented get", id: docID, key: docKey, keyTime: "1557989753;1557996953",
		method: "GET", path: "/exampleobject(腾讯云)",
		params: url.Values{
			"response-content-type":  {"application/octet-stream"},
			"response-cache-control": {"max-age=600"},
		},
		headers:      header("Host", docHost, "Date", "Thu, 16 May 2019 06:55:53 GMT"),
		stringToSign: "sha1\n1557989753;1557996953\n54ecfe22f59d3514fdc764b87a32d8133ea611e6\n",
		signature:    "01681b8c9d798a678e43b685a9f1bba0f6c0e012",
	},
	{
		name: "V9 sdk test", id: "QmFzZTY0IGlzIGEgZ2VuZXJp", key: "AKIDZfbOA78asKUYBcXFrJD0a1ICvR98JM",
		keyTime: "1480932292;1481012292", method: "PUT", path: "/testfile2",
		headers: header("Host", "testbucket-125000000.cos.ap-guangzhou.myqcloud.com",
			"x-cos-content-sha1", "db8ac1c259eb89d4a131b253bacfca5f319d54f2", "x-cos-stroage-class", "nearline"),
		signature: "ce4ac0ecbcdb30538b3fee0a97cc6389694ce53a",
	},
}

func header(kv ...string) map[string][]string {
	h := http.Header{}
	for p := range slices.Chunk(kv, 2) {
		h.Set(p[0], p[1])
	}
	return h
}

func TestGolden(t *testing.T) {
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			hs := HTTPString(tt.method, tt.path, tt.params, tt.headers)
			if tt.httpString != "" && hs != tt.httpString {
				t.Errorf("HTTPString\n got %q\nwant %q", hs, tt.httpString)
			}
			if got := StringToSign(tt.keyTime, hs); tt.stringToSign != "" && got != tt.stringToSign {
				t.Errorf("StringToSign = %q, want %q", got, tt.stringToSign)
			}
			f := New(tt.id, tt.key, tt.keyTime, tt.method, tt.path, tt.params, tt.headers)
			if f.Signature != tt.signature {
				t.Errorf("signature = %s, want %s", f.Signature, tt.signature)
			}
			if got := f.Authorization(); tt.auth != "" && got != tt.auth {
				t.Errorf("Authorization\n got %q\nwant %q", got, tt.auth)
			}
			verify(t, f.Authorization(), tt.key, tt.method, tt.path, tt.params, tt.headers)
		})
	}
}

// verify does what a server does with a request, extra headers and parameters included.
func verify(t *testing.T, auth, key, method, path string, params url.Values, headers map[string][]string) {
	t.Helper()
	f, err := Parse(auth)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	arrived, query := http.Header{"User-Agent": {"x"}}, url.Values{"later": {"1"}}
	for k, v := range headers {
		arrived[k] = v
	}
	for k, v := range params {
		query[k] = v
	}
	got := Signature(key, f.KeyTime, f.SignTime, method, path, Select(query, f.Params), Select(arrived, f.Headers))
	if !Equal(got, f.Signature) {
		t.Errorf("verified signature = %s, want %s", got, f.Signature)
	}
}

func TestSigningKey(t *testing.T) {
	for _, tt := range []struct{ key, keyTime, want string }{
		{exampleKey, exampleTime, "ef144684686675c61e11bcca27e98bacb991f5e6"},
		{docKey, "1557989151;1557996351", "eb2519b498b02ac213cb1f3d1a3d27a3b3c9bc5f"},
		{docKey, "1557989753;1557996953", "937914bf490e9e8c189836aad2052e4feeb35eaf"},
	} {
		if got := Key(tt.key, tt.keyTime); got != tt.want {
			t.Errorf("Key(%q) = %s, want %s", tt.keyTime, got, tt.want)
		}
	}
}

func TestPresignedQuery(t *testing.T) {
	const want = "q-sign-algorithm=sha1&q-ak=" + exampleID + "&q-sign-time=1700000000%3B1700003600" +
		"&q-key-time=1700000000%3B1700003600&q-header-list=host&q-url-param-list=response-content-type" +
		"&q-signature=78a2218aa4777a11e701398cb7c87d7930b378b5"
	f := New(exampleID, exampleKey, exampleTime, "GET", oddKey,
		url.Values{"response-content-type": {"text/plain"}}, header("Host", exampleHost))
	if f.Query() != want {
		t.Fatalf("Query\n got %q\nwant %q", f.Query(), want)
	}
	q, err := url.ParseQuery("response-content-type=text%2Fplain&" + f.Query())
	if err != nil {
		t.Fatal(err)
	}
	merged := url.Values{"sign": {f.Authorization()}}
	for _, q := range []url.Values{q, merged} {
		got, err := ParseQuery(q)
		if err != nil {
			t.Fatalf("ParseQuery(%v): %v", q, err)
		}
		if got.Authorization() != f.Authorization() {
			t.Errorf("ParseQuery = %s, want %s", got.Authorization(), f.Authorization())
		}
	}
}

func TestParse(t *testing.T) {
	reordered := "q-url-param-list=&q-header-list=host&q-signature=ab&q-ak=id&q-key-time=1;2&q-sign-time=1;2&q-sign-algorithm=sha1"
	f, err := Parse(reordered)
	if err != nil {
		t.Fatalf("Parse in another order: %v", err)
	}
	if f.SecretID != "id" || !slices.Equal(f.Headers, []string{"host"}) || f.Params != nil {
		t.Errorf("Parse = %+v", f.Authorization())
	}
	start, end, err := f.Window()
	if err != nil || start.Unix() != 1 || end.Unix() != 2 {
		t.Errorf("Window = %v, %v, %v", start, end, err)
	}
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", ErrNone},
		{"other scheme", "AWS4-HMAC-SHA256 Credential=x", ErrMalformed},
		{"missing field", strings.Replace(reordered, "&q-ak=id", "", 1), ErrMalformed},
		{"repeated field", reordered + "&q-ak=id2", ErrMalformed},
		{"empty id", strings.Replace(reordered, "q-ak=id", "q-ak=", 1), ErrMalformed},
		{"algorithm", strings.Replace(reordered, "sha1", "md5", 1), ErrMalformed},
	} {
		if _, err := Parse(tt.text); !errors.Is(err, tt.want) {
			t.Errorf("%s: Parse = %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := ParseQuery(url.Values{"prefix": {"x"}}); !errors.Is(err, ErrNone) {
		t.Errorf("ParseQuery without signature = %v, want ErrNone", err)
	}
	f.SignTime = "soon"
	if _, _, err := f.Window(); !errors.Is(err, ErrMalformed) {
		t.Errorf("Window of nonsense = %v, want ErrMalformed", err)
	}
}

func TestEscape(t *testing.T) {
	for _, tt := range []struct{ in, all, key string }{
		{"", "", ""},
		{"a/b", "a%2Fb", "a/b"},
		{"a b+c%!'()*", "a%20b%2Bc%25%21%27%28%29%2A", "a%20b%2Bc%25%21%27%28%29%2A"},
		{"-_.~", "-_.~", "-_.~"},
		{"腾\x00\xff", "%E8%85%BE%00%FF", "%E8%85%BE%00%FF"},
	} {
		if got := Escape(tt.in); got != tt.all {
			t.Errorf("Escape(%q) = %q, want %q", tt.in, got, tt.all)
		}
		if got := EscapeKey(tt.in); got != tt.key {
			t.Errorf("EscapeKey(%q) = %q, want %q", tt.in, got, tt.key)
		}
	}
}

func TestCanonicalRepeated(t *testing.T) {
	list, joined := Canonical(map[string][]string{"B[]": {"2", "1"}, "a": nil})
	if list != "a;b%5b%5d;b%5b%5d" || joined != "a=&b%5b%5d=1&b%5b%5d=2" {
		t.Errorf("Canonical = %q, %q", list, joined)
	}
}

func TestKeyTimeAndString(t *testing.T) {
	if got := KeyTime(time.Unix(1700000000, 0), time.Unix(1700003600, 9)); got != exampleTime {
		t.Errorf("KeyTime = %q, want %q", got, exampleTime)
	}
	f := Fields{SecretID: "id", Signature: "0123456789"}
	if strings.Contains(f.String(), f.Signature) {
		t.Errorf("String shows the signature: %s", f)
	}
}
