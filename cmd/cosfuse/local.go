package main

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"time"

	"cosfuse/cos"
	"cosfuse/cos/cosserver"
)

// hangUpGrace is how long requests may go on after the server was told to end.
const hangUpGrace = 5 * time.Second

// hangUp lets requests under way finish, but not for ever.
func hangUp(ctx context.Context, l *cosserver.Listener) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangUpGrace)
	defer cancel()
	return l.Close(ctx)
}

// newSecret makes a pair of keys.
func newSecret() secret {
	return secret{id: "AKID" + rand.Text(), key: rand.Text() + rand.Text(), from: "this process"}
}

// allow lets s into a server.
func (s secret) allow() map[string]cosserver.Credential {
	return map[string]cosserver.Credential{s.id: {SecretKey: s.key, Token: s.token}}
}

// localServer is the server of mount --local.
type localServer struct {
	srv         *cosserver.Server
	listener    *cosserver.Listener
	credentials cos.Provider
}

// startLocal serves dir on a loopback port. Its credentials are made up for this process, so that no
// other user of the machine can get in.
func startLocal(dir string, log *slog.Logger) (*localServer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, machineError("use --local DIR with a place you may write to", "directory of the objects: %w", err)
	}
	s := newSecret()
	srv, err := cosserver.Open(cosserver.Options{Dir: dir, Credentials: s.allow(), Logger: log})
	if err != nil {
		return nil, machineError("is another mount or \"cosfuse serve\" using it?", "directory of the objects: %w", err)
	}
	l, err := srv.Listen("127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(machineError("is the loopback interface up?", "local server: %w", err), srv.Close())
	}
	return &localServer{srv: srv, listener: l, credentials: cos.Static{Value: s.credentials()}}, nil
}

func (l *localServer) close(ctx context.Context) error {
	return errors.Join(hangUp(ctx, l.listener), l.srv.Close())
}
