package cosserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Listener serves a Server on an address. Its owner closes it before the Server.
type Listener struct {
	URL  string   // http://HOST:PORT
	Addr net.Addr // as bound: a port of 0 has become a real one

	server *http.Server
	done   chan error
}

// Listen serves the API on a TCP address like 127.0.0.1:0. It returns when connections are accepted.
func (s *Server) Listen(addr string) (*Listener, error) {
	return s.ListenHandler(addr, s.Handler())
}

// ListenHandler serves another handler, such as AdminHandler, the way Listen serves the API.
func (s *Server) ListenHandler(addr string, h http.Handler) (*Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		URL:  "http://" + ln.Addr().String(),
		Addr: ln.Addr(),
		server: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: time.Minute,
			IdleTimeout:       5 * time.Minute,
			ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		},
		done: make(chan error, 1),
	}
	go func() { l.done <- l.server.Serve(ln) }()
	return l, nil
}

// Close stops accepting, waits for the requests under way until ctx ends, closes what is left, and
// returns when the listener's goroutine has ended.
func (l *Listener) Close(ctx context.Context) error {
	err := l.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), l.server.Close())
	}
	if serveErr := <-l.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
