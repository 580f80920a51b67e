package flows

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Weighed is a signal that a risk step reads.
type Weighed struct {
	Name   string
	Signal Signal
	Weight int
	// Observed: the step only looks on.
	Observed bool
}

// Weigher is a Step that reads signals and makes a score of them.
type Weigher interface {
	// Weighs answers which, and how; it is known after Bind.
	Weighs() ([]Weighed, Formula)
}

// Weights are how steps weigh signals, by name, and by which formula, if all of them run:
// the same that Assess makes of it.
func Weights(steps []Step) (weights map[string]Weighed, f Formula) {
	weights = map[string]Weighed{}
	counts := false
	for s := range AllSteps(steps) {
		w, ok := s.(Weigher)
		if !ok {
			continue
		}
		reads, formula := w.Weighs()
		looksOn := len(reads) > 0 && reads[0].Observed
		if !looksOn || !counts {
			f, counts = formula, !looksOn
		}
		for _, r := range reads {
			if old, ok := weights[r.Name]; !ok || old.Observed || !r.Observed {
				weights[r.Name] = r
			}
		}
	}
	return weights, f
}

// Assess reads the signals for a run, side by side, and counts them together with
// what its earlier risk steps read: a signal that is read again is replaced, and one
// that counts is never replaced by a step that only looks on. It does not fail: what
// could not be read is unknown (I22).
func Assess(ctx context.Context, x *Execution, signals []Weighed, f Formula) {
	all := map[string]Reading{}
	if x.Risk != nil && x.Risk.Run == x.ID {
		all, f = maps.Clone(x.Readings), f.behind(x, signals)
	}
	facts := x.signalFacts()
	for name, r := range read(ctx, x, facts, signals) {
		if old, ok := all[name]; !ok || old.Observed || !r.Observed {
			all[name] = r
		}
	}
	for name, r := range all {
		r.Contribution = f.Contribution(r)
		all[name] = r
	}
	x.Readings, x.Risk = all, f.Assessed(all)
	x.Risk.Run, x.Risk.At, x.Risk.Device = x.ID, x.Env.Now, facts.Device.ID
	x.Risk.IP = facts.Request.IP
	x.Guarded = true // an older copy of the run would bring back what was read then (I08)
}

// behind is the formula behind an earlier step of the run: who only looks on does not
// change that of who counts.
func (f Formula) behind(x *Execution, signals []Weighed) Formula {
	for _, r := range x.Readings {
		if !r.Observed && len(signals) > 0 && signals[0].Observed {
			return x.Risk.Formula
		}
	}
	return f
}

// signalFacts are facts that a signal may go on to look at when nobody waits for it
// any more: nothing in them is written again.
func (x *Execution) signalFacts() *Facts {
	f := x.Facts()
	f.Request.Header, f.Request.Native, f.Request.Body = maps.Clone(f.Request.Header), nil, nil
	return f
}

type answer struct {
	name    string
	reading Reading
}

// read asks all signals at once; each has its own time.
func read(ctx context.Context, x *Execution, f *Facts, signals []Weighed) map[string]Reading {
	answers := make(chan answer, len(signals))
	for _, s := range signals {
		if r, said := x.Env.Said[s.Name]; said {
			answers <- answer{s.Name, s.weigh(r, nil)}
			continue
		}
		learned, err := x.learned(ctx, s)
		go func() {
			var r Reading
			if err == nil {
				r, err = inTime(ctx, s.Signal, f, learned)
			}
			if err != nil && x.Env.Unread != nil {
				x.Env.Unread(s.Name, err)
			}
			answers <- answer{s.Name, s.weigh(r, err)}
		}()
	}
	out := make(map[string]Reading, len(signals))
	for range signals {
		a := <-answers
		out[a.name] = a.reading
	}
	return out
}

// learned is what the signal noted of the person before.
func (x *Execution) learned(ctx context.Context, s Weighed) (json.RawMessage, error) {
	if _, learns := s.Signal.(Learner); !learns || x.User == nil || x.Env.Learned == nil {
		return nil, nil
	}
	return x.Env.Learned(ctx, x.User.Key, s.Name)
}

// inTime asks one signal. One that does not come back in time is left alone.
func inTime(ctx context.Context, s Signal, f *Facts, learned json.RawMessage) (Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Options().ReadFor())
	type result struct {
		r   Reading
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer cancel()
		var got result
		defer func() {
			if p := recover(); p != nil {
				got = result{err: fmt.Errorf("panic: %v", p)}
			}
			done <- got
		}()
		got.r, got.err = s.Read(ctx, f, learned)
	}()
	select {
	case got := <-done:
		return got.r, got.err
	case <-ctx.Done():
	}
	select { // it may have answered in that very moment, and have ended the time itself
	case got := <-done:
		return got.r, got.err
	default:
		return Reading{}, ErrLate
	}
}

// weigh makes a reading of what a signal answered. What is no score is unknown, too.
func (s Weighed) weigh(r Reading, err error) Reading {
	if err != nil || r.Score < 0 || r.Score > 100 {
		r = Reading{Unknown: true, Reason: ReasonSignalFailed}
	}
	if r.Unknown {
		if r.Score = s.Signal.Options().UnknownScore(); r.Reason == "" {
			r.Reason = ReasonSignalUnknown
		}
	}
	if len(r.Reason) > 40 || r.Reason != "" && !ValidName(string(r.Reason)) {
		r.Reason = ReasonSignalUnknown
	}
	r.Text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, r.Text)
	if len(r.Text) > 200 {
		r.Text = strings.ToValidUTF8(r.Text[:200], "")
	}
	r.Weight, r.Observed = s.Weight, s.Observed
	return r
}
