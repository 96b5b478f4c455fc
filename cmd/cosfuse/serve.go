package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

const serveLong = `Serve buckets from a local directory, the way COS does.

The server checks signatures and keeps to the limits of the service. Its first start makes a secret id
and key and writes them to DIR/credentials; --credentials names another file, COS_SECRET_ID and
COS_SECRET_KEY are used if set. Buckets that do not exist are created. Ctrl-C or SIGTERM ends it.`

const serveExample = `  cosfuse serve --dir ~/cos-data

  # two buckets, as slow as a distant service, with counters for curl at /stats of the admin address
  cosfuse serve --dir ~/cos-data --bucket photos-1250000000 --bucket music-1250000000 \
      --latency 15ms --bandwidth 100MB --admin 127.0.0.1:9001`

type serveOptions struct {
	dir, listen, admin string
	buckets            []string
	region             string
	credentialsFile    string
	anonymous, remote  bool
	latency            time.Duration
	bandwidth          byteSize
	logLevel           logLevel
}

func (o *serveOptions) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.dir, "dir", "", "`DIR` to keep the objects in; created")
	f.StringVar(&o.listen, "listen", "127.0.0.1:9000", "`ADDR` to serve at, host:port; port 0 takes a free one")
	f.StringArrayVar(&o.buckets, "bucket", nil, "`NAME-APPID` of a bucket; repeat it for more (default "+cosserver.DefaultBucket+")")
	f.StringVar(&o.region, "region", cosserver.DefaultRegion, "`REGION` to claim to be in")
	f.StringVar(&o.credentialsFile, "credentials", "", "`FILE` with secret_id and secret_key of those who may come in (default DIR/credentials)")
	f.BoolVar(&o.anonymous, "anonymous", false, "let everyone in who can reach the address")
	f.BoolVar(&o.remote, "allow-remote-anonymous", false, "with --anonymous, at an address other machines can reach, too")
	f.StringVar(&o.admin, "admin", "", "`ADDR` for counters and scripted faults over HTTP, on this machine only (default: none)")
	f.DurationVar(&o.latency, "latency", 0, "wait so long before each answer")
	f.Var(&o.bandwidth, "bandwidth", "bytes a second of each connection; 0 is as fast as it goes")
	f.Var(&o.logLevel, "log-level", "debug (each request), info, warn or error; the log goes to standard error")
}

func (c *cli) serveCommand() *cobra.Command {
	o := &serveOptions{}
	cmd := &cobra.Command{
		Use:                   "serve --dir DIR [flags]",
		Short:                 "Serve buckets from a local directory",
		Long:                  serveLong,
		Example:               serveExample,
		DisableFlagsInUseLine: true,
		Args:                  func(cmd *cobra.Command, args []string) error { return wantArgs(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), stopSignals...)
			defer stop()
			if err := o.validate(); err != nil {
				return err
			}
			return c.serve(ctx, o)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *serveOptions) validate() error {
	if o.dir == "" {
		return usageError("use --dir DIR", "the directory to keep objects in is missing")
	}
	abs, err := filepath.Abs(o.dir)
	if err != nil {
		return machineError("use absolute paths", "working directory: %w", err)
	}
	o.dir = abs
	if len(o.buckets) == 0 {
		o.buckets = []string{cosserver.DefaultBucket}
	}
	for _, b := range o.buckets {
		if err := checkBucket(b); err != nil {
			return err
		}
	}
	for flag, addr := range map[string]string{"--listen": o.listen, "--admin": o.admin} {
		if _, _, err := net.SplitHostPort(addr); err != nil && addr != "" {
			return usageError("write it as 127.0.0.1:9000", "%s %q is not host:port", flag, addr)
		}
	}
	switch {
	case o.anonymous && o.credentialsFile != "":
		return usageError("give one of them", "--anonymous and --credentials exclude each other")
	case o.anonymous && !loopback(o.listen) && !o.remote:
		return usageError("listen at 127.0.0.1, leave out --anonymous, or add --allow-remote-anonymous if that is what you want",
			"with --anonymous everyone who can reach %s may read and write", o.listen)
	case o.admin != "" && !loopback(o.admin):
		return usageError("use 127.0.0.1:PORT", "--admin %s can be reached by other machines and asks for no password", o.admin)
	case o.latency < 0:
		return usageError("use a duration such as 15ms", "--latency cannot be negative")
	}
	return checkRegion(o.region)
}

// serve blocks until ctx ends.
func (c *cli) serve(ctx context.Context, o *serveOptions) (err error) {
	log := slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.Level(o.logLevel)}))
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return machineError("use --dir DIR with a place you may write to", "directory of the server: %w", err)
	}
	opt := cosserver.Options{Dir: o.dir, Region: o.region, Anonymous: o.anonymous, Logger: log}
	for _, b := range o.buckets {
		opt.Buckets = append(opt.Buckets, cosserver.Bucket{Name: b})
	}
	var credentialsFile string
	if opt.Credentials, credentialsFile, err = c.serverCredentials(ctx, o); err != nil {
		return err
	}
	srv, err := cosserver.Open(opt)
	if err != nil {
		return machineError("is another server using it?", "%w", err)
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	srv.SetShape(cosserver.Shape{Latency: o.latency, BytesPerSecond: int64(o.bandwidth)})
	l, err := srv.Listen(o.listen)
	if err != nil {
		return explainListen(err, "--listen", o.listen)
	}
	defer func() { err = errors.Join(hangUp(ctx, l), err) }()
	if o.admin != "" {
		admin, err := srv.ListenHandler(o.admin, srv.AdminHandler())
		if err != nil {
			return explainListen(err, "--admin", o.admin)
		}
		defer hangUp(ctx, admin)
	}
	c.greet(o, l.URL, credentialsFile)
	<-ctx.Done()
	return nil
}

// greet shows how to use the server.
func (c *cli) greet(o *serveOptions, url, credentialsFile string) {
	how := "--credentials " + credentialsFile
	switch {
	case o.anonymous:
		how = "--anonymous"
	case credentialsFile == "":
		how = "(with COS_SECRET_ID and COS_SECRET_KEY as here)"
	}
	fmt.Fprintf(c.stdout, "Serving %s from %s at %s\n", strings.Join(o.buckets, ", "), o.dir, url)
	fmt.Fprintf(c.stdout, "Mount it, in another terminal:\n  mkdir -p ~/mnt\n")
	fmt.Fprintf(c.stdout, "  cosfuse mount %s ~/mnt --endpoint %s --region %s %s\n", o.buckets[0], url, o.region, how)
	fmt.Fprintf(c.stdout, "Ctrl-C ends the server.\n")
}

func explainListen(err error, flag, addr string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return machineError("use another port, or port 0 for a free one", "%s %s is in use by another program", flag, addr)
	}
	return machineError("use an address of this machine, such as 127.0.0.1:9000", "%s: %w", flag, err)
}

// serverCredentials decides who may use the server: the environment's keys, or those of a file, which
// is made if none was named. The file is returned, empty if none is used.
func (c *cli) serverCredentials(ctx context.Context, o *serveOptions) (map[string]cosserver.Credential, string, error) {
	env := environmentSecret(c.getenv)
	switch {
	case o.anonymous:
		return nil, "", nil
	case o.credentialsFile == "" && (env.id != "" || env.key != ""):
		check := mountOptions{secret: env}
		return env.allow(), "", check.validateCredentials()
	}
	path := o.credentialsFile
	if path == "" {
		path = filepath.Join(o.dir, "credentials")
		if err := ensureCredentials(path); err != nil {
			return nil, "", machineError("use --credentials FILE", "credentials of the server: %w", err)
		}
	}
	creds, err := readCredentials(ctx, cos.File{Path: path})
	if err != nil {
		return nil, "", err
	}
	return secret{id: creds.SecretID, key: creds.SecretKey, token: creds.Token}.allow(), path, nil
}

// ensureCredentials makes a pair of keys and writes them to path, if there is nothing.
func ensureCredentials(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, iofs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	s := newSecret()
	_, err = fmt.Fprintf(f, "# Who may use this server; made at its first start.\nsecret_id = %s\nsecret_key = %s\n", s.id, s.key)
	return errors.Join(err, f.Close())
}
