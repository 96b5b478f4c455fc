package cos

import (
	"bytes"
	"context"
	"crypto/aes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const hush = "VerySecretKeyMaterial"

func TestCredentialsAreRedacted(t *testing.T) {
	c := Credentials{SecretID: "AKIDabcdefghijklmnop", SecretKey: hush, Token: hush}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "a", c, "b", &c, "c", Static{c}, "d", []Credentials{c}, "e", Options{Credentials: Static{c}})
	}
	j, err := json.Marshal(map[string]any{"a": c, "b": Static{c}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Options{Region: testRegion, Bucket: testBucket, Credentials: Static{c}})
	if err != nil {
		t.Fatal(err)
	}
	fresh := NewRefresher(Static{c}, nil, nil)
	if _, err := fresh.Credentials(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	shown := log.String() + string(j) + c.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb+verb+verb+verb+verb, c, &c, Static{c}, client, fresh)
	}
	hex := fmt.Sprintf("%x", hush)
	if strings.Contains(shown, hush) || strings.Contains(shown, hex) || strings.Contains(shown, c.SecretID) {
		t.Errorf("a secret shows: %s", shown)
	}
	if !strings.Contains(c.String(), "AKIDabcd...") {
		t.Errorf("String = %s, want the beginning of the ID", c)
	}
}

func TestEnv(t *testing.T) {
	env := map[string]string{}
	e := Env{Lookup: func(k string) string { return env[k] }}
	if _, err := e.Credentials(context.Background()); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("empty environment: %v, want ErrNoCredentials", err)
	}
	env["TENCENTCLOUD_SECRET_ID"], env["TENCENTCLOUD_SECRET_KEY"], env["TENCENTCLOUD_SESSION_TOKEN"] = "tid", "tkey", "ttok"
	if c, err := e.Credentials(context.Background()); err != nil || c != (Credentials{SecretID: "tid", SecretKey: "tkey", Token: "ttok"}) {
		t.Errorf("fallback: %v, %v", c, err)
	}
	env["COS_SECRET_ID"] = "id"
	if _, err := e.Credentials(context.Background()); !errors.Is(err, ErrBadCredentials) || errors.Is(err, ErrNoCredentials) {
		t.Errorf("half of them: %v, want ErrBadCredentials", err)
	}
	env["COS_SECRET_KEY"] = "key"
	if c, err := e.Credentials(context.Background()); err != nil || c != (Credentials{SecretID: "id", SecretKey: "key"}) {
		t.Errorf("ours first: %v, %v", c, err)
	}
	env["COS_SECRET_KEY"] = hush + "\n"
	if _, err := e.Credentials(context.Background()); !errors.Is(err, ErrBadCredentials) || strings.Contains(err.Error(), hush) {
		t.Errorf("line break: %v, want ErrBadCredentials without the secret", err)
	}
}

// coscliEncrypt is what coscli does to a secret.
func coscliEncrypt(t *testing.T, s string) string {
	t.Helper()
	var key [16]byte
	copy(key[:], "coscli-secret")
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, (len(s)+15)/16*16)
	copy(b, s)
	for i := 0; i < len(b); i += 16 {
		block.Encrypt(b[i:], b[i:])
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestCredentialFiles(t *testing.T) {
	full := Credentials{SecretID: "AKIDexample", SecretKey: hush, Token: "tok==", Expires: time.Date(2030, 8, 29, 20, 30, 0, 0, time.UTC)}
	plain := Credentials{SecretID: "AKIDexample", SecretKey: hush}
	temp := plain
	temp.Token = "tok=="
	yaml := func(id, key, token, more string) string {
		return "cos:\n  base:\n    secretid: " + id + "\n    secretkey: " + key + "\n    sessiontoken: " + token + "\n    protocol: https\n" + more +
			"  buckets:\n  - name: examplebucket-1250000000\n    region: ap-guangzhou\n    ofs: false\n"
	}
	at := func(p Provider) func(string) Provider {
		return func(path string) Provider {
			switch p := p.(type) {
			case File:
				p.Path = path
				return p
			case PasswdFile:
				p.Path = path
				return p
			case STSFile:
				p.Path = path
				return p
			case CoscliFile:
				p.Path = path
				return p
			}
			return nil
		}
	}
	for _, tt := range []struct {
		name string
		p    Provider
		text string
		want Credentials
		err  error
	}{
		{"ours", File{}, "# comment\nsecret_id = AKIDexample\nsecret_key = " + hush + "\nsession_token=tok==\nexpires=2030-08-29T20:30:00Z\n", full, nil},
		{"ours for a shell", File{}, "export COS_SECRET_ID=AKIDexample\nexport COS_SECRET_KEY='" + hush + "'\nCOS_REGION=ap-x\n", plain, nil},
		{"ours, empty", File{}, "# nothing\n", Credentials{}, ErrNoCredentials},
		{"ours, half", File{}, "secret_key = " + hush + "\n", Credentials{}, ErrBadCredentials},
		{"ours, misspelt", File{}, "secretkey = " + hush + "\n", Credentials{}, ErrBadCredentials},
		{"ours, nonsense", File{}, hush + "\n", Credentials{}, ErrBadCredentials},
		{"ours, as passwd", File{Bucket: testBucket}, "# c\nother-1:a:b\nid:key\n" + testBucket + ":AKIDexample:" + hush + "\n", plain, nil},
		{"ours, as sts", File{}, "COSAccessKeyId=AKIDexample\nCOSSecretKey=" + hush + "\nCOSAccessToken=tok==\n", temp, nil},
		{"passwd, bucket without its APPID", PasswdFile{Bucket: testBucket}, "id:key\r\n" + testBucket[:strings.LastIndexByte(testBucket, '-')] + ":AKIDexample:" + hush + "\r\n", plain, nil},
		{"passwd, this bucket", PasswdFile{Bucket: testBucket}, "other-1:a:b\nid:key\n" + testBucket + ":AKIDexample:" + hush + "\n", plain, nil},
		{"passwd, any bucket", PasswdFile{Bucket: testBucket}, "# c\n\nother-1:a:b\nAKIDexample:" + hush + "\n", plain, nil},
		{"passwd, others only", PasswdFile{Bucket: testBucket}, "other-1:a:b\n", Credentials{}, ErrNoCredentials},
		{"passwd, nonsense", PasswdFile{Bucket: testBucket}, hush + "\n", Credentials{}, ErrBadCredentials},
		{"sts", STSFile{}, "COSAccessKeyId=AKIDexample\nCOSSecretKey=" + hush + "\nCOSAccessToken=tok==\nCOSAccessTokenExpire=2030-08-29T20:30:00\n", full, nil},
		{"coscli", CoscliFile{}, yaml(coscliEncrypt(t, "AKIDexample"), coscliEncrypt(t, hush), coscliEncrypt(t, "tok=="), ""), temp, nil},
		{"coscli, plain", CoscliFile{}, yaml("AKIDexample", hush, `""`, "    disableencryption: \"true\"\n"), plain, nil},
		{"coscli, plain, unquoted", CoscliFile{}, yaml("AKIDexample", hush, `""`, "    disableencryption: true\n"), plain, nil},
		{"coscli, plain and not said", CoscliFile{}, yaml("AKIDexample", hush, `""`, ""), Credentials{}, ErrBadCredentials},
		{"coscli, not YAML", CoscliFile{}, hush + ": [", Credentials{}, ErrBadCredentials},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := at(tt.p)(path)
			got, err := p.Credentials(context.Background())
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("credentials = %v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
			if err != nil && (strings.Contains(err.Error(), hush) || !strings.Contains(err.Error(), path)) {
				t.Errorf("error shows a secret or hides the file: %v", err)
			}
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Credentials(context.Background()); !errors.Is(err, ErrBadCredentials) || !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("open to others: %v, want one that says chmod 600", err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Credentials(context.Background()); !errors.Is(err, ErrNoCredentials) || !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("missing: %v, want ErrNoCredentials", err)
			}
		})
	}
}

func TestRole(t *testing.T) {
	asked := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked += r.URL.Path + " "
		switch r.URL.Path {
		case "/cam/":
			fmt.Fprint(w, "backup\nother\n")
		case "/cam/backup":
			fmt.Fprintf(w, `{"TmpSecretId":"AKIDexample","TmpSecretKey":"%s","ExpiredTime":1615590047,"Expiration":"2021-03-12T23:00:47Z","Token":"tok","Code":"Success"}`, hush)
		case "/cam/broken":
			fmt.Fprintf(w, `{"Code":"Failed","TmpSecretKey":"%s"}`, hush)
		case "/cam/none/":
		default:
			w.WriteHeader(404)
		}
	}))
	defer srv.Close()
	want := Credentials{SecretID: "AKIDexample", SecretKey: hush, Token: "tok", Expires: time.Unix(1615590047, 0)}
	for _, r := range []Role{{URL: srv.URL + "/cam"}, {URL: srv.URL + "/cam/", Name: "backup"}} {
		if got, err := r.Credentials(context.Background()); err != nil || got != want {
			t.Errorf("role %q: %v, %v", r.Name, got, err)
		}
	}
	if asked != "/cam/ /cam/backup /cam/backup " {
		t.Errorf("asked for %s", asked)
	}
	if _, err := (Role{URL: srv.URL + "/cam", Name: "broken"}).Credentials(context.Background()); !errors.Is(err, ErrBadCredentials) || strings.Contains(err.Error(), hush) {
		t.Errorf("code of failure: %v, want ErrBadCredentials", err)
	}
	if _, err := (Role{URL: srv.URL + "/cam/none"}).Credentials(context.Background()); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("no role: %v, want ErrNoCredentials", err)
	}
	if _, err := (Role{URL: srv.URL + "/elsewhere"}).Credentials(context.Background()); err == nil {
		t.Error("a 404 gave credentials")
	}
	// coscli's configuration may lead here.
	path := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(path, []byte("cos:\n  base:\n    mode: CvmRole\n    cvmrolename: backup\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (CoscliFile{Path: path, Role: Role{URL: srv.URL + "/cam"}}).Credentials(context.Background()); err != nil || got != want {
		t.Errorf("coscli with a role: %v, %v", got, err)
	}
}

func TestCommand(t *testing.T) {
	got, err := Command{Args: []string{"echo", `{"SecretId":"id","SecretKey":"` + hush + `","Token":"tok","Expiration":"2030-01-02T15:04:05Z"}`}}.Credentials(context.Background())
	want := Credentials{SecretID: "id", SecretKey: hush, Token: "tok", Expires: time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)}
	if err != nil || got != want {
		t.Errorf("command: %v, %v", got, err)
	}
	for name, args := range map[string][]string{
		"fails": {"false"}, "missing": {"/nonexistent/program"}, "not JSON": {"echo", hush}, "no key": {"echo", `{"SecretId":"id"}`},
		"endless": {"sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"},
	} {
		if _, err := (Command{Args: args}).Credentials(context.Background()); err == nil || strings.Contains(err.Error(), hush) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

func TestChain(t *testing.T) {
	none := Env{Lookup: func(string) string { return "" }}
	good := Static{testCreds}
	if c, err := (Chain{none, good}).Credentials(context.Background()); err != nil || c != testCreds {
		t.Errorf("second has them: %v, %v", c, err)
	}
	if _, err := (Chain{none, Static{Credentials{SecretID: "x"}}, good}).Credentials(context.Background()); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("second is broken: %v, want ErrBadCredentials", err)
	}
	if _, err := (Chain{none, none}).Credentials(context.Background()); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("nobody has them: %v, want ErrNoCredentials", err)
	}
	if _, err := (Chain{}).Credentials(context.Background()); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("nobody asked: %v, want ErrNoCredentials", err)
	}
}
