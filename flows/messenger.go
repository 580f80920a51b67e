package flows

import "context"

// Messenger is a guest `identity.messengers.*`: how a code or a notice reaches a
// person. One value serves everybody concurrently.
type Messenger interface {
	// Send hands one message over to the far side; nil says that it was taken, not that
	// it arrived. ErrUnavailable: the same may work later; any other error: it will not.
	// No error and no log line holds Text or a value of Secret.
	Send(ctx context.Context, m Message) error
}

// Mailer is a Messenger to e-mail addresses. Notices go by it.
type Mailer interface {
	Messenger
	Mails() bool
}

// Message is one message to one person. Subject and Text are filled in by the
// hall from the words of Kind, in the person's language, before a guest sees it;
// a Text that is there already stays.
type Message struct {
	// ID names the message at the far side, so that a second try is no second message.
	ID string
	// Kind is what it says: "code", "factor_added", …
	Kind string
	// To is an address or a telephone number, as the messenger understands it.
	To string
	// Language is the one the words are in (BCP 47).
	Language string
	// Subject is one line; Text is plain text.
	Subject, Text string
	// Values fill the places of the words, as {host}; those of Secret are worth something
	// to who reads them: a code, a link. None holds a line break when a guest sees it.
	Values, Secret map[string]string
	// Rows are what the message is about: the payee and amount of a transfer.
	Rows []Row
}

// Poster is a Messenger that has what it is given sent beside the run: it waits for
// nothing, tries again for a while, and drops what comes when too many wait. The
// hall's are.
type Poster interface {
	Messenger
	Post(ctx context.Context, m Message)
}
