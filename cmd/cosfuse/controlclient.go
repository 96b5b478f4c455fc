package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
)

// daemonClient talks to the daemon of a cache directory. Its owner calls close.
type daemonClient struct {
	http *http.Client
	dir  *os.File
}

// dialDaemon makes a client of the daemon that has cacheDir. It connects when it is used.
func dialDaemon(cacheDir string) (*daemonClient, error) {
	path, dir, err := shortPath(cacheDir)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return &daemonClient{dir: dir, http: &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
		DisableCompression: true,
	}}}, nil
}

func (d *daemonClient) close() {
	d.http.CloseIdleConnections()
	d.dir.Close()
}

// errNoDaemon says that nothing listens at a control socket.
var errNoDaemon = errors.New("no daemon answers")

// do sends a request and returns an answer that is a success; the caller closes its body.
func (d *daemonClient) do(ctx context.Context, method, path string, query url.Values) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "cosfuse", Path: controlVersion + path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	res, err := d.http.Do(req)
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return nil, fmt.Errorf("%w: %w", errNoDaemon, err)
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusOK:
		return res, nil
	}
	defer res.Body.Close()
	var r refusal
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&r); err != nil || r.Error == "" {
		return nil, machineError("unmount with the version of cosfuse that mounted, and mount again",
			"the daemon speaks version %q of the control protocol, this program %s", res.Header.Get(controlHeader), controlVersion[2:])
	}
	return nil, &failure{code: r.Code, err: errors.New(r.Error)}
}

// ask sends a request and decodes the answer into v.
func (d *daemonClient) ask(ctx context.Context, method, path string, query url.Values, v any) error {
	res, err := d.do(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("answer of the daemon: %w", err)
	}
	return nil
}

// status asks what is dirty at or below path.
func (d *daemonClient) status(ctx context.Context, path string) (writeState, error) {
	var s writeState
	err := d.ask(ctx, http.MethodGet, "/status", url.Values{"path": {path}}, &s)
	return s, err
}

// totals asks how much is dirty at or below path.
func (d *daemonClient) totals(ctx context.Context, path string) (totals, error) {
	var s writeState
	err := d.ask(ctx, http.MethodGet, "/status", url.Values{"path": {path}, "totals": {""}}, &s)
	return s.Totals, err
}

// sync has everything at or below path committed and waits for it.
func (d *daemonClient) sync(ctx context.Context, path string) (syncReply, error) {
	var r syncReply
	err := d.ask(ctx, http.MethodPost, "/sync", url.Values{"path": {path}}, &r)
	return r, err
}
