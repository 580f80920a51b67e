package session_test

import (
	"testing"

	"github.com/sallyport-gateway/sallyport/flows/session"
)

// Every byte of a ticket counts in both halves of its key, wherever it stands: a
// session that is cached is not found by most of a ticket.
func TestI13EveryByteOfATicketIsInItsCacheKey(t *testing.T) {
	text := session.NewTicket().Text()
	var whole session.CacheKey
	if !whole.Of(text) {
		t.Fatalf("no key of %d bytes", len(text))
	}
	for i := range text {
		for _, bit := range []byte{1, 32, 64} {
			other := []byte(text)
			other[i] ^= bit
			var k session.CacheKey
			if k.Of(string(other)); k[0] == whole[0] && k[1] == whole[1] || k[2] == whole[2] && k[3] == whole[3] {
				t.Errorf("byte %d, bit %d: %x is the key of both in one half", i, bit, k)
			}
		}
	}
	for i := range len(text) - 1 { // two that change places
		other := []byte(text)
		other[i], other[i+1] = other[i+1], other[i]
		var k session.CacheKey
		if k.Of(string(other)); string(other) != text && k == whole {
			t.Errorf("bytes %d and %d may change places", i, i+1)
		}
	}
	for _, s := range []string{"", text[1:], text + "A"} {
		var k session.CacheKey
		if k.Of(s) {
			t.Errorf("%d bytes have a key", len(s))
		}
	}
}

func BenchmarkCacheKey(b *testing.B) {
	text := session.NewTicket().Text()
	k := new(session.CacheKey)
	for b.Loop() {
		k.Of(text)
	}
}
