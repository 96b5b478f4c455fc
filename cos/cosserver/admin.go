package cosserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// AdminHandler serves what tests and benchmarks in other processes need:
//
//	GET  /stats         Stats as JSON
//	POST /stats/reset   ResetStats
//	GET  /log           Log as JSON
//	GET  /faults        the rules in force as a JSON list; PUT replaces them
//	GET  /shape         the shape as JSON; PUT replaces it
//
// It checks no credentials: bind it where only its users reach it.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Stats()) })
	mux.HandleFunc("POST /stats/reset", func(w http.ResponseWriter, _ *http.Request) {
		s.ResetStats()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Log()) })
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Rules()) })
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var rules []Rule
		if readJSON(w, r, &rules) {
			s.SetRules(rules)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	mux.HandleFunc("GET /shape", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Shape()) })
	mux.HandleFunc("PUT /shape", func(w http.ResponseWriter, r *http.Request) {
		var shape Shape
		if readJSON(w, r, &shape) {
			s.SetShape(shape)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// The status is out; a client that went away needs no answer.
	_ = json.NewEncoder(w).Encode(v)
}

func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.Decode(&struct{}{}) != io.EOF {
		err = errors.New("more than one value")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

// duration is a time.Duration that JSON holds as text like "250ms".
type duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

// plainRule is Rule without its methods.
type plainRule Rule

type jsonRule struct {
	plainRule
	Delay duration `json:"delay,omitempty"`
}

// MarshalJSON implements json.Marshaler: the delay is text like "250ms".
func (r Rule) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonRule{plainRule(r), duration(r.Delay)})
}

// UnmarshalJSON implements json.Unmarshaler. Unknown actions and points are refused.
func (r *Rule) UnmarshalJSON(b []byte) error {
	var j jsonRule
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*r = Rule(j.plainRule)
	r.Delay = time.Duration(j.Delay)
	return r.check()
}

// check refuses what no request could be struck by.
func (r *Rule) check() error {
	switch r.When {
	case "", Before, Middle, After, Late:
	default:
		return fmt.Errorf("no point of a request is called %q", r.When)
	}
	switch r.Action {
	case Fail, Reset, Stall, Delay:
		return nil
	case "":
		if r.When == Late {
			return nil
		}
	}
	if !r.onAnswer() {
		return fmt.Errorf("no action is called %q", r.Action)
	}
	return nil
}

type jsonShape struct {
	Latency        duration `json:"latency"`
	BytesPerSecond int64    `json:"bytes_per_second"`
}

// MarshalJSON implements json.Marshaler: the latency is text like "20ms".
func (s Shape) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonShape{duration(s.Latency), s.BytesPerSecond})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Shape) UnmarshalJSON(b []byte) error {
	var j jsonShape
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Shape{time.Duration(j.Latency), j.BytesPerSecond}
	return nil
}
