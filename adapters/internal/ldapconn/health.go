package ldapconn

import (
	"context"
	"errors"
	"fmt"
)

// Check asks every server anew, beside each other: it signs in as the client and
// reads the root entry. Nil: one of them answered. What logins found out counts for
// nothing here, and nothing that is found out here changes how they are served.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(c.servers))
	for _, s := range c.servers {
		go func() {
			err := s.answers(ctx, callLimit, c.dn != "")
			if err != nil {
				err = fmt.Errorf("%s: %w", s.raw, err)
			}
			answers <- err
		}()
	}
	var errs []error
	for range c.servers {
		err := <-answers
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
