package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // RSA-OAEP's own default; nothing rests on its collisions
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// block is a cipher for the content (SAML2Int SDP-ALG01): no 3DES.
type block struct {
	key int // bytes
	gcm bool
}

var blockMethods = map[string]block{
	"http://www.w3.org/2001/04/xmlenc#aes128-cbc": {key: 16},
	"http://www.w3.org/2001/04/xmlenc#aes256-cbc": {key: 32},
	"http://www.w3.org/2009/xmlenc11#aes128-gcm":  {key: 16, gcm: true},
	"http://www.w3.org/2009/xmlenc11#aes256-gcm":  {key: 32, gcm: true},
}

// Key transport is RSA-OAEP only: RSA1_5 tells who asks often enough what was
// encrypted (Bleichenbacher; SDP-ALG01).
const (
	oaepMGF1P = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	oaep11    = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
)

// oaepDigests: SHA-1 is what OAEP means when no digest is named (XML Encryption
// §5.5.2), and what SDP-ALG01 asks for. The last is how one library misspells SHA-256.
var oaepDigests = map[string]rsa.OAEPOptions{
	"":                                       {Hash: crypto.SHA1},
	"http://www.w3.org/2000/09/xmldsig#sha1": {Hash: crypto.SHA1},
	"http://www.w3.org/2001/04/xmlenc#sha256":       {Hash: crypto.SHA256},
	"http://www.w3.org/2001/04/xmldsig-more#sha384": {Hash: crypto.SHA384},
	"http://www.w3.org/2001/04/xmlenc#sha512":       {Hash: crypto.SHA512},
	"http://www.w3.org/2000/09/xmldsig#sha256":      {Hash: crypto.SHA256, MGFHash: crypto.SHA256},
}

var oaepMasks = map[string]crypto.Hash{
	"": crypto.SHA1,
	"http://www.w3.org/2009/xmlenc11#mgf1sha1":   crypto.SHA1,
	"http://www.w3.org/2009/xmlenc11#mgf1sha256": crypto.SHA256,
	"http://www.w3.org/2009/xmlenc11#mgf1sha384": crypto.SHA384,
	"http://www.w3.org/2009/xmlenc11#mgf1sha512": crypto.SHA512,
}

// sealed is what an EncryptedAssertion holds, read and judged; nothing of it has
// met a key.
type sealed struct {
	block block
	data  []byte
	keys  []wrapped
}

// wrapped is a content key for somebody.
type wrapped struct {
	data []byte
	oaep rsa.OAEPOptions
}

// readSealed reads an EncryptedAssertion. All that is refused here is plain for
// everybody to see, so refusing it tells nothing.
func readSealed(el *etree.Element) (sealed, error) {
	data, err := only(el, nsEnc, "EncryptedData")
	if err != nil {
		return sealed{}, err
	}
	method, err := only(data, nsEnc, "EncryptionMethod")
	if err != nil {
		return sealed{}, err
	}
	b, ok := blockMethods[attrOf(method, "Algorithm")]
	if !ok {
		return sealed{}, algorithm("encryption", method)
	}
	out := sealed{block: b}
	if out.data, err = cipherValue(data); err != nil {
		return sealed{}, err
	}
	if err := b.measure(len(out.data)); err != nil {
		return sealed{}, err
	}
	keys := children(el, nsEnc, "EncryptedKey") // beside the data, or inside of it
	for _, info := range children(data, nsDsig, "KeyInfo") {
		keys = append(keys, children(info, nsEnc, "EncryptedKey")...)
	}
	if len(keys) == 0 || len(keys) > 3 {
		return sealed{}, fmt.Errorf("%d encrypted keys, one is read for each of at most three readers", len(keys))
	}
	for _, k := range keys {
		w, err := readWrapped(k)
		if err != nil {
			return sealed{}, err
		}
		out.keys = append(out.keys, w)
	}
	return out, nil
}

// measure refuses lengths that the cipher cannot have made.
func (b block) measure(n int) error {
	if b.gcm && n < 12+16 || !b.gcm && (n < 2*aes.BlockSize || n%aes.BlockSize != 0) {
		return fmt.Errorf("a ciphertext of %d bytes", n)
	}
	return nil
}

func readWrapped(el *etree.Element) (wrapped, error) {
	method, err := only(el, nsEnc, "EncryptionMethod")
	if err != nil {
		return wrapped{}, err
	}
	how := attrOf(method, "Algorithm")
	if how != oaepMGF1P && how != oaep11 {
		return wrapped{}, algorithm("key transport", method)
	}
	digest, mask, err := oaepParameters(method)
	if err != nil {
		return wrapped{}, err
	}
	oaep, ok := oaepDigests[digest]
	if !ok {
		return wrapped{}, fmt.Errorf("OAEP digest %q is not allowed", outbound.Clip(digest, 100))
	}
	if oaep.MGFHash == 0 {
		oaep.MGFHash = crypto.SHA1 // rsa-oaep-mgf1p means MGF1 with SHA-1 whatever the digest (§5.5.2)
		if how == oaep11 {
			if oaep.MGFHash, ok = oaepMasks[mask]; !ok {
				return wrapped{}, fmt.Errorf("mask generation %q is not allowed", outbound.Clip(mask, 100))
			}
		}
	}
	data, err := cipherValue(el)
	return wrapped{data: data, oaep: oaep}, err
}

// oaepParameters reads the algorithms of digest and mask; empty where none is named.
func oaepParameters(method *etree.Element) (digest, mask string, err error) {
	for _, c := range method.ChildElements() {
		switch {
		case is(c, nsDsig, "DigestMethod") && digest == "":
			digest = attrOf(c, "Algorithm")
		case is(c, nsEnc11, "MGF") && mask == "":
			mask = attrOf(c, "Algorithm")
		default:
			return "", "", fmt.Errorf("key transport with %s", outbound.Clip(c.Tag, 40))
		}
	}
	return digest, mask, nil
}

func cipherValue(el *etree.Element) ([]byte, error) {
	data, err := only(el, nsEnc, "CipherData")
	if err != nil {
		return nil, err
	}
	value, err := only(data, nsEnc, "CipherValue")
	if err != nil {
		return nil, err
	}
	s, err := compact(value)
	if err != nil {
		return nil, err
	}
	out, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(out) == 0 {
		return nil, errors.New("a ciphertext that is no base64, or empty")
	}
	return out, nil
}

// open decrypts with our keys. It always answers as many bytes of something: a
// key that does not open, a wrong padding and a wrong tag make ok false and
// nothing else, after the same work (S10).
func (s *sealed) open(keys []spKey) (plain []byte, ok bool) {
	content, have := s.contentKey(keys)
	c, err := aes.NewCipher(content)
	if err != nil {
		return make([]byte, len(s.data)), false // a length of our own table: cannot be
	}
	if s.block.gcm {
		plain, ok = openGCM(c, s.data)
	} else {
		plain, ok = openCBC(c, s.data)
	}
	return plain, ok && have
}

// contentKey tries every key of ours on every wrapped key. None that fits: a
// random one, and the work goes on.
func (s *sealed) contentKey(keys []spKey) (content []byte, ok bool) {
	content = make([]byte, s.block.key)
	_, _ = rand.Read(content) // never fails (crypto/rand)
	for _, w := range s.keys {
		for _, k := range keys {
			got, err := k.Key.Decrypt(nil, w.data, &w.oaep)
			if err == nil && len(got) == s.block.key && !ok {
				content, ok = got, true
			}
		}
	}
	return content, ok
}

func openGCM(c cipher.Block, data []byte) ([]byte, bool) {
	aead, err := cipher.NewGCM(c)
	if err != nil {
		return make([]byte, len(data)), false
	}
	plain, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], nil)
	if err != nil {
		return make([]byte, len(data)-aead.NonceSize()-aead.Overhead()), false
	}
	return plain, true
}

// openCBC takes the padding off (XML Encryption §5.2: only the last byte counts)
// without a branch on it.
func openCBC(c cipher.Block, data []byte) ([]byte, bool) {
	plain := slices.Clone(data[aes.BlockSize:])
	cipher.NewCBCDecrypter(c, data[:aes.BlockSize]).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	good := subtle.ConstantTimeLessOrEq(1, pad) & subtle.ConstantTimeLessOrEq(pad, aes.BlockSize)
	return plain[:len(plain)-subtle.ConstantTimeSelect(good, pad, 0)], good == 1
}
