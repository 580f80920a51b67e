package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Send hands one message over, on a connection of its own.
func (m *Messenger) Send(ctx context.Context, msg flows.Message) error {
	letter, err := m.letter(msg)
	if err != nil {
		return err
	}
	limit := cmp.Or(time.Duration(m.Timeout), usualTimeout)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client, err := m.client(ctx, limit)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, letter)
	if letter.IsDelivered() { // what the server says to our farewell changes nothing
		return nil
	}
	return told(ctx, err)
}

// client is made anew for each message: it keeps what it found out of a server.
func (m *Messenger) client(whole context.Context, limit time.Duration) (*mail.Client, error) {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) { return m.dial(ctx, whole, network) }
	options := []mail.Option{mail.WithPort(m.port), mail.WithTimeout(limit), mail.WithDialContextFunc(dial), mail.WithoutNoop(), mail.WithoutRset()}
	ways := []mail.SMTPAuthType{mail.SMTPAuthPlain, mail.SMTPAuthLogin}
	switch {
	case m.tls == nil: // PLAIN would refuse; the operator did not
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
		ways = []mail.SMTPAuthType{mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc}
	case m.ImplicitTLS: // by dial
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(m.tls.Clone()))
	}
	if m.User != "" {
		options = append(options, mail.WithOpportunisticSMTPAuth(ways...), mail.WithUsername(m.User), mail.WithPassword(m.password))
	}
	return mail.NewClient(m.host, options...)
}

// dial makes a connection that ends when the whole is over, whatever it waits for then.
func (m *Messenger) dial(ctx, whole context.Context, network string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(m.host, strconv.Itoa(m.port)))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(whole, func() { _ = c.Close() })
	if !m.ImplicitTLS {
		return c, nil
	}
	t := tls.Client(c, m.tls.Clone())
	return t, t.HandshakeContext(ctx)
}

// letter refuses what could reach anybody else than its one recipient.
func (m *Messenger) letter(msg flows.Message) (*mail.Msg, error) {
	to, err := netmail.ParseAddress(msg.To)
	if err != nil || to.Address != msg.To || !plain(msg.To) {
		return nil, errors.New("the recipient is no e-mail address")
	}
	msg = m.reworded(msg)
	l := mail.NewMsg(mail.WithNoDefaultUserAgent())
	l.FromMailAddress(&m.from)
	l.ToMailAddress(to)
	l.Subject(strings.Map(blank, msg.Subject))
	l.SetDate()
	_, domain, _ := strings.Cut(m.from.Address, "@")
	l.SetMessageIDWithValue(strings.Map(blank, msg.ID) + "@" + domain)
	l.SetGenHeader("Auto-Submitted", "auto-generated")
	l.SetGenHeader("Content-Language", strings.Map(blank, msg.Language))
	l.SetBodyString(mail.TypeTextPlain, msg.Text)
	return l, nil
}

func blank(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

func plain(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }

// told keeps of what a server answered its code alone: the words may be ours (P15).
func told(ctx context.Context, err error) error {
	var sent *mail.SendError
	var reply *textproto.Error
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.As(err, &sent) && sent.ErrorCode() >= 500:
		return fmt.Errorf("the mail server answers %d %s (%s)", sent.ErrorCode(), sent.EnhancedStatusCode(), sent.Reason)
	case errors.As(err, &sent):
		return fmt.Errorf("%w: the mail server answers %d %s (%s)", flows.ErrUnavailable, sent.ErrorCode(), sent.EnhancedStatusCode(), sent.Reason)
	case errors.As(err, &reply) && reply.Code >= 500:
		return fmt.Errorf("the mail server does not take us: it answers %d", reply.Code)
	case errors.As(err, &reply):
		return fmt.Errorf("%w: the mail server answers %d", flows.ErrUnavailable, reply.Code)
	}
	return fmt.Errorf("%w: %w", flows.ErrUnavailable, err) // before anything of the message was sent
}
