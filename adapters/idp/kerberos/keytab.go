package kerberos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// maxKeytab is the largest file that is read.
const maxKeytab = 1 << 20

// service is what browsers ask tickets for (RFC 4559 §4.1).
const service = "HTTP"

// keys are those of a keytab file. A file that changed is read again at the next login;
// one that is no good leaves the keys that were read last.
type keys struct {
	path string

	mu   sync.Mutex
	seen stamp
	last *keytab.Keytab
	err  error // of the newest reading
}

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	at   time.Time
}

// now answers the keys as the file is.
func (k *keys) now() (*keytab.Keytab, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fi, err := os.Stat(k.path)
	switch {
	case err != nil:
	case !fi.Mode().IsRegular(): // reading a pipe would never end
		err = fmt.Errorf("%s is no file", k.path)
	case stamp{fi.Size(), fi.ModTime()} != k.seen:
		var read *keytab.Keytab
		if read, err = readKeytab(k.path); err == nil {
			k.last = read
		}
		k.seen = stamp{fi.Size(), fi.ModTime()}
	default:
		err = k.err
	}
	if k.err = err; k.last == nil {
		return nil, err
	}
	return k.last, nil
}

// health is the error of the newest reading.
func (k *keys) health() error {
	_, _ = k.now() // as it is now, not as it was at the last login
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func readKeytab(path string) (*keytab.Keytab, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxKeytab+1))
	if err != nil {
		return nil, err
	}
	kt, err := parseKeytab(b)
	if err != nil {
		return nil, fmt.Errorf("%s is no keytab that can be used: %w", path, err)
	}
	return kt, nil
}

// parseKeytab reads a keytab. What the library says of a bad one is not repeated: it
// quotes the keys.
func parseKeytab(b []byte) (*keytab.Keytab, error) {
	if len(b) > maxKeytab {
		return nil, fmt.Errorf("it is larger than %d bytes", maxKeytab)
	}
	kt := keytab.New()
	if kt.Unmarshal(b) != nil {
		return nil, errors.New("it is malformed")
	}
	for _, e := range kt.Entries {
		if e.Principal.Realm == "" || len(e.Principal.Components) != int(e.Principal.NumComponents) || len(e.Key.KeyValue) == 0 {
			return nil, errors.New("it is malformed")
		}
	}
	// The other keys of a machine are none of ours, and neither are ways to encrypt that nobody knows.
	mine := kt.Entries[:0]
	for _, e := range kt.Entries {
		if etype, err := crypto.GetEtype(e.Key.KeyType); err == nil && len(e.Key.KeyValue) == etype.GetKeyByteSize() && len(e.Principal.Components) == 2 && e.Principal.Components[0] == service {
			mine = append(mine, e)
		}
	}
	if kt.Entries = mine; len(mine) == 0 {
		return nil, errors.New("it has no key of a principal " + service + "/<host>")
	}
	return kt, nil
}

// names are the principals that there are keys of.
func names(kt *keytab.Keytab) []string {
	var out []string
	for _, e := range kt.Entries {
		name := strings.Join(e.Principal.Components, "/") + "@" + e.Principal.Realm
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// realms are those of the principals.
func realms(kt *keytab.Keytab) []string {
	var out []string
	for _, e := range kt.Entries {
		if !slices.Contains(out, e.Principal.Realm) {
			out = append(out, e.Principal.Realm)
		}
	}
	return out
}
