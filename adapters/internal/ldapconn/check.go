package ldapconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport-gateway/sallyport/flows"
)

// CheckPassword binds as dn on a connection that is used for nothing else and
// closed behind it, so that no pooled connection is ever left bound as a person.
// It asks first the server that knew the entry. An error wraps
// flows.ErrUnavailable where no server answered.
//
// An empty dn or password never gets there: a server takes either for nobody in
// particular, and says yes (RFC 4513 §5.1.1 and §5.1.2, CVE-2017-14623).
func (c *Client) CheckPassword(ctx context.Context, knew *Found, dn, password string) (Verdict, error) {
	if dn == "" || password == "" || strings.ContainsRune(password, 0) {
		return Verdict{Detail: "empty name or password, not asked"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	select {
	case c.binds <- struct{}{}:
		defer func() { <-c.binds }()
	case <-ctx.Done():
		return Verdict{}, fmt.Errorf("%w: too many passwords are being checked: %w", flows.ErrUnavailable, ctx.Err())
	}
	var first *server
	if knew != nil {
		first = knew.from
	}
	var last error
	for _, s := range c.order(first) {
		v, err := s.bindAs(ctx, dn, password)
		if err == nil {
			return v, nil
		}
		if ctx.Err() != nil {
			return Verdict{}, fmt.Errorf("%w: %w", flows.ErrUnavailable, ctx.Err())
		}
		s.down(err)
		last = fmt.Errorf("%s: %w", s.raw, err)
	}
	return Verdict{}, fmt.Errorf("%w: %w", flows.ErrUnavailable, last)
}

// bindAs checks a password at one server. It is never asked twice at once: a wrong
// one would count twice. Who takes long over it is asked something simple beside:
// a server that is busy hashing answers that, a frozen one does not.
func (s *server) bindAs(ctx context.Context, dn, password string) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	done := make(chan result[Verdict], 1)
	go func() {
		v, err := s.bindNow(ctx, dn, password)
		done <- result[Verdict]{value: v, err: err}
	}()
	slow, over := context.WithTimeout(ctx, hedgeAfter)
	defer over()
	select {
	case r := <-done:
		return r.value, r.err
	case <-slow.Done():
	}
	frozen := make(chan struct{})
	go func() {
		if s.answers(ctx, s.client.alive, false) != nil {
			close(frozen)
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-frozen:
		return Verdict{}, errFrozen
	case <-ctx.Done():
		return Verdict{}, ctx.Err()
	}
}

func (s *server) bindNow(ctx context.Context, dn, password string) (Verdict, error) {
	l, err := s.dial(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer l.cut()
	l.tie(ctx)
	defer l.stop()
	answer, err := l.SimpleBind(&ldap.SimpleBindRequest{
		Username: dn, Password: password,
		Controls: []ldap.Control{ldap.NewControlBeheraPasswordPolicy()},
	})
	var e *ldap.Error
	if err != nil && (!errors.As(err, &e) || gone(err)) {
		return Verdict{}, err
	}
	var controls []ldap.Control
	if answer != nil {
		controls = answer.Controls
	}
	if e == nil {
		return judge(0, "", controls), nil
	}
	return judge(e.ResultCode, e.Err.Error(), controls), nil
}
