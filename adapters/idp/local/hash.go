package local

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// hash is a stored password in one of the supported forms.
type hash interface {
	// matches costs the same for every password.
	matches(password string) bool
	// kind is the algorithm with its cost: equal kinds cost the same.
	kind() string
	// dummy has the same cost and matches no password anybody knows.
	dummy() hash
}

// The dearest hashes that are accepted: a typo must not let one login take the
// machine's memory or minutes of a core.
const (
	maxBcryptCost   = 15
	maxArgonMemory  = 1 << 20 // KiB: 1 GiB
	maxArgonPasses  = 64
	maxArgonWork    = 8 << 20 // KiB × passes
	maxBcryptLength = 72
)

const supported = "supported are bcrypt ($2a$, $2b$, $2y$) and argon2id ($argon2id$v=19$m=…,t=…,p=…$salt$key), as `caddy hash-password` prints them"

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)

// parseHash reads one hash. Its errors never contain any of it: what stands
// there may be a password somebody forgot to hash.
func parseHash(s string) (hash, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, errors.New("hash is empty")
	}
	if !strings.HasPrefix(s, "$") {
		// Older `caddy hash-password` wrapped its output in base64.
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || !strings.HasPrefix(string(b), "$") {
			return nil, errors.New("hash has an unknown form; " + supported)
		}
		s = strings.TrimSpace(string(b))
	}
	switch {
	case strings.HasPrefix(s, "$2"):
		return parseBcrypt(s)
	case strings.HasPrefix(s, "$argon2id$"):
		return parseArgon(s)
	}
	return nil, errors.New("hash has an unknown algorithm; " + supported)
}

type bcryptHash struct {
	text []byte
	cost int
}

func parseBcrypt(s string) (hash, error) {
	m := bcryptForm.FindStringSubmatch(s)
	if m == nil {
		return nil, errors.New("bcrypt hash is malformed; " + supported)
	}
	cost, _ := strconv.Atoi(m[1])
	if cost < bcrypt.MinCost || cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt cost %d is outside %d to %d", cost, bcrypt.MinCost, maxBcryptCost)
	}
	return bcryptHash{[]byte(s), cost}, nil
}

// matches refuses what bcrypt itself would not tell apart: it reads 72 bytes of
// a password only (ASVS 5.0 6.2.8), and repeats the password after a NUL.
func (h bcryptHash) matches(password string) bool {
	whole := len(password) <= maxBcryptLength && !strings.ContainsRune(password, 0)
	b := []byte(password[:min(len(password), maxBcryptLength)])
	return bcrypt.CompareHashAndPassword(h.text, b) == nil && whole
}

func (h bcryptHash) kind() string { return fmt.Sprintf("bcrypt,%d", h.cost) }

func (h bcryptHash) dummy() hash {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := random(53)
	for i := range b {
		b[i] = alphabet[b[i]%64]
	}
	return bcryptHash{fmt.Appendf(nil, "$2a$%02d$%s", h.cost, b), h.cost}
}

type argonHash struct {
	salt, key      []byte
	memory, passes uint32
	threads        uint8
}

func parseArgon(s string) (hash, error) {
	malformed := errors.New("argon2id hash is malformed; " + supported)
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[2] != "v=19" {
		return nil, malformed
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return nil, malformed
	}
	var n [3]uint64
	for i, prefix := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], prefix)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			return nil, malformed
		}
		n[i] = v
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return nil, malformed
	}
	key, err := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || len(key) < 16 || len(key) > 128 {
		return nil, malformed
	}
	switch m, t, p := n[0], n[1], n[2]; {
	case p < 1 || p > 255 || t < 1 || m < 8*p:
		return nil, malformed
	case m > maxArgonMemory || t > maxArgonPasses || m*t > maxArgonWork:
		return nil, fmt.Errorf("argon2id m=%d,t=%d is too much: at most 1 GiB (m=%d), t=%d and m×t=%d", m, t, maxArgonMemory, maxArgonPasses, maxArgonWork)
	}
	return argonHash{salt, key, uint32(n[0]), uint32(n[1]), uint8(n[2])}, nil // #nosec G115 -- bounded above
}

func (h argonHash) matches(password string) bool {
	got := argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(len(h.key))) // #nosec G115 -- at most 128
	return subtle.ConstantTimeCompare(got, h.key) == 1
}

func (h argonHash) kind() string {
	return fmt.Sprintf("argon2id,%d,%d,%d", h.memory, h.passes, h.threads)
}

func (h argonHash) dummy() hash {
	h.salt, h.key = random(len(h.salt)), random(len(h.key))
	return h
}

// mostUsed returns a hash of the kind that occurs most often, the first of equals.
func mostUsed(hashes []hash) hash {
	count := map[string]int{}
	for _, h := range hashes {
		count[h.kind()]++
	}
	best := hashes[0]
	for _, h := range hashes {
		if count[h.kind()] > count[best.kind()] {
			best = h
		}
	}
	return best
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return b
}
