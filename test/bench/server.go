package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// serverConfig is what the server's process is told.
type serverConfig struct{ Dir string }

// address is what it answers.
type address struct{ URL, Admin, Region, Bucket string }

// serve is the server's process. It ends with its standard input.
func (c *serverConfig) serve(ctx context.Context, stdin io.Reader, stdout io.Writer) (err error) {
	srv, err := cosserver.Open(cosserver.Options{
		Dir: c.Dir, NoSync: true, // how soon the server's disk syncs is not what is measured
		Switches: cosserver.Switches{PathStyle: true, S3Headers: true},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	api, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, api.Close(ctx)) }()
	admin, err := srv.ListenHandler("127.0.0.1:0", srv.AdminHandler())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close(ctx)) }()
	a := address{URL: api.URL, Admin: admin.URL, Region: srv.Region(), Bucket: srv.Bucket()}
	if err := json.NewEncoder(stdout).Encode(a); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}

// startChild starts this program again as a child that does c.
func startChild(ctx context.Context, c child, stderr io.Writer) (*exec.Cmd, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = stderr
	return cmd, nil
}

// server is the server's process, seen from outside.
type server struct {
	address
	cmd    *exec.Cmd
	stdin  io.Closer
	client *cos.Client // of the benchmark itself, to fill the bucket
}

func startServer(ctx context.Context, dir string) (_ *server, err error) {
	s := &server{}
	s.cmd, err = startChild(context.WithoutCancel(ctx), child{Serve: &serverConfig{filepath.Join(dir, "bucket")}}, os.Stderr)
	if err != nil {
		return nil, err
	}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.stdin = stdin
	if err := json.NewDecoder(stdout).Decode(&s.address); err != nil {
		return nil, errors.Join(fmt.Errorf("the server does not start: %w", err), s.stop())
	}
	if s.client, err = s.newClient(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (a address) newClient() (*cos.Client, error) {
	return cos.New(cos.Options{Endpoint: a.URL, Region: a.Region, Bucket: a.Bucket})
}

// stop ends the server and waits for it.
func (s *server) stop() error {
	var err error
	if s.client != nil {
		err = s.client.Close()
	}
	return errors.Join(err, s.stdin.Close(), s.cmd.Wait())
}

// admin calls the server's interface for tests. in and out may be nil.
func (s *server) admin(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.Admin+path, body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (s *server) shape(ctx context.Context, sh cosserver.Shape) error {
	return s.admin(ctx, http.MethodPut, "/shape", sh, nil)
}

func (s *server) reset(ctx context.Context) error {
	return s.admin(ctx, http.MethodPost, "/stats/reset", nil, nil)
}

// quiet is how long nothing may have changed until all requests count as ended.
const quiet = 100 * time.Millisecond

// stats returns what was asked since the last reset, once requests that nobody waits for have ended.
func (s *server) stats(ctx context.Context) (cosserver.Stats, error) {
	var last cosserver.Stats
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for {
		var now cosserver.Stats
		if err := s.admin(ctx, http.MethodGet, "/stats", nil, &now); err != nil {
			return nil, err
		}
		if last != nil && maps.Equal(last, now) {
			return now, nil
		}
		last = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
