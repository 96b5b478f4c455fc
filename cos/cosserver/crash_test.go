package cosserver

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKilledServerKeepsWhatItAcknowledged kills a server in another process in the middle of puts and
// appends, and looks at what the next one finds.
func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	if dir := os.Getenv("COSSERVER_TEST_DIR"); dir != "" {
		serveUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "COSSERVER_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &client{t: t, url: strings.TrimSpace(url), host: "127.0.0.1", http: &http.Client{Transport: transport}}

	sizes := []int{10, 20_000}
	acknowledged := make([]int, len(sizes)) // puts of each size
	appended := 0
	var wg sync.WaitGroup
	for w, size := range sizes {
		wg.Go(func() {
			for i := 0; ; i++ {
				r, err := c.try("PUT", fmt.Sprintf("/%d/%d", size, i), bulk(size), nil)
				if err != nil || r.status != 200 {
					return
				}
				acknowledged[w]++
			}
		})
	}
	enough := make(chan struct{})
	wg.Go(func() {
		for {
			r, err := c.try("POST", "/log?append&position="+itoa(appended), "x", nil)
			if err != nil || r.status != 200 {
				return
			}
			if appended++; appended == 50 {
				close(enough)
			}
		}
	})
	select {
	case <-enough:
	case <-time.After(20 * time.Second):
		t.Error("too slow")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := cmd.Wait(); err == nil {
		t.Error("the server ended on its own")
	}

	c = start(t, Options{Dir: dir})
	for w, size := range sizes {
		for i := range acknowledged[w] {
			if got := c.get(fmt.Sprintf("%d/%d", size, i)); got != bulk(size) {
				t.Errorf("put %d of %d bytes has %d", i, size, len(got))
			}
		}
	}
	r := c.want(200, "", "GET", "/log", "", nil)
	if n := len(r.body); n != appended && n != appended+1 || r.header.Get("x-cos-hash-crc64ecma") != crcOf(r.body) {
		t.Errorf("%d bytes appended, %d acknowledged", n, appended)
	}
}

func serveUntilKilled(t *testing.T, dir string) {
	srv, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(l.URL)
	// A parent that dies first must not leave this process behind.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	<-ctx.Done()
	l.Close(ctx)
	srv.Close()
}
