package code

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// issued is what the store has of a code: a hash, whose key is in the run alone.
type issued struct {
	Hash  []byte    `json:"hash"`
	Tries int       `json:"tries,omitempty"`
	Until time.Time `json:"until"`
}

func newID() string { return rand.Text() }

func hash(id, code string) []byte {
	h := hmac.New(sha256.New, []byte(id))
	h.Write([]byte(code))
	return h.Sum(nil)
}

// issue makes a code, in place of the one before.
func (f *Email) issue(ctx context.Context, id string, now time.Time) (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", fmt.Errorf("making a code: %w", err)
	}
	code := fmt.Sprintf("%0*d", digitsOfCode, n)
	b, err := json.Marshal(issued{Hash: hash(id, code), Until: now.Add(goodFor)})
	if err != nil {
		return "", err
	}
	return code, f.vault.Update(ctx, "code\x00"+id, func([]byte) (flows.Change, error) { return flows.Set(b, goodFor), nil })
}

// judge counts a try and compares, in one atomic step; left: there may be another.
func (f *Email) judge(ctx context.Context, id, code string, now time.Time) (right, left bool, err error) {
	want := hash(id, code)
	err = f.vault.Update(ctx, "code\x00"+id, func(old []byte) (flows.Change, error) {
		right, left = false, false
		if old == nil {
			return flows.Keep(), nil
		}
		var c issued
		if err := json.Unmarshal(old, &c); err != nil {
			return flows.Keep(), err
		}
		if !now.Before(c.Until) {
			return flows.Remove(), nil
		}
		if right = hmac.Equal(c.Hash, want); right {
			return flows.Remove(), nil
		}
		if c.Tries++; c.Tries >= maxTries {
			return flows.Remove(), nil
		}
		left = true
		b, err := json.Marshal(c)
		return flows.Set(b, c.Until.Sub(now)), err
	})
	return right, left, err
}

// The budgets of messages. Those that were answered by a right code count for the
// day alone: who approves ten transfers in ten minutes gets ten codes.
const (
	spacing  = 30 * time.Second
	window   = 15 * time.Minute
	inWindow = 5
	day      = 24 * time.Hour
	inDay    = 100
)

// sends are the messages of one person, or to one address.
type sends struct {
	// Open are those of the window that nobody answered yet.
	Open []time.Time `json:"open,omitempty"`
	// Count is how many there were since Since.
	Count int       `json:"count"`
	Since time.Time `json:"since"`
}

// take counts one, or answers how long to wait.
func (s *sends) take(now time.Time) time.Duration {
	for len(s.Open) > 0 && now.Sub(s.Open[0]) >= window {
		s.Open = s.Open[1:]
	}
	if now.Sub(s.Since) >= day {
		s.Count, s.Since = 0, now
	}
	var wait time.Duration
	if n := len(s.Open); n > 0 {
		wait = s.Open[n-1].Add(spacing).Sub(now)
	}
	if len(s.Open) >= inWindow {
		wait = max(wait, s.Open[0].Add(window).Sub(now))
	}
	if s.Count >= inDay {
		wait = max(wait, s.Since.Add(day).Sub(now))
	}
	if wait > 0 {
		return wait
	}
	s.Open, s.Count = append(s.Open, now), s.Count+1
	return 0
}

// take takes from the budgets of the person and of the address, which are kept
// where all nodes see them.
func (f *Email) take(ctx context.Context, c *flows.Challenge, to string) (wait time.Duration, err error) {
	for _, k := range []string{"user\x00" + string(c.User.Key), key(to)} {
		err := f.budget(ctx, k, func(s *sends) bool {
			wait = s.take(c.Now)
			return wait == 0
		})
		if err != nil || wait > 0 {
			return wait, err
		}
	}
	return 0, nil
}

// answered closes the messages that were open: a right code came back.
func (f *Email) answered(ctx context.Context, c *flows.Challenge) error {
	for _, k := range []string{"user\x00" + string(c.User.Key), key(f.to.of(c.User))} {
		if err := f.budget(ctx, k, func(s *sends) bool { s.Open = nil; return true }); err != nil {
			return err
		}
	}
	return nil
}

func (f *Email) budget(ctx context.Context, k string, change func(*sends) bool) error {
	return f.vault.Update(ctx, "sends\x00"+k, func(old []byte) (flows.Change, error) {
		var s sends
		if old != nil {
			if err := json.Unmarshal(old, &s); err != nil {
				return flows.Keep(), err
			}
		}
		if !change(&s) {
			return flows.Keep(), nil
		}
		b, err := json.Marshal(s)
		return flows.Set(b, day), err
	})
}
