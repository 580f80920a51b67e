package samltest

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
)

// Encryption algorithms, allowed and not.
const (
	AES128CBC = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	AES256CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
	AES128GCM = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	AES256GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	TripleDES = "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"
	OAEPMGF1P = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	OAEP11    = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
	RSA15     = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
	MGFSHA256 = "http://www.w3.org/2009/xmlenc11#mgf1sha256"
)

// Encryption says how an assertion is encrypted. The zero value but for To is
// AES-256-GCM with RSA-OAEP and SHA-1, its key inside of the data.
type Encryption struct {
	To *x509.Certificate
	// Block and Transport are the algorithms; Digest and MGF those of OAEP.
	Block, Transport, Digest, MGF string
	// Beside puts the EncryptedKey beside the EncryptedData.
	Beside bool
	// Data edits the ciphertext, Key the wrapped key, Plain what is encrypted.
	Data, Key, Plain func([]byte) []byte
	// Content is the key in the place of a random one.
	Content []byte
}

var keySizes = map[string]int{AES128CBC: 16, AES256CBC: 32, AES128GCM: 16, AES256GCM: 32, TripleDES: 24}

// Seal makes an EncryptedAssertion of an assertion.
func (e Encryption) Seal(assertion string) string {
	if e.Block == "" {
		e.Block = AES256GCM
	}
	if e.Transport == "" {
		e.Transport = OAEPMGF1P
	}
	content := e.Content
	if content == nil {
		content = make([]byte, keySizes[e.Block])
		_, _ = rand.Read(content)
	}
	plain := edit(e.Plain, []byte(assertion))
	data := edit(e.Data, e.seal(content, plain))
	return e.element(data, edit(e.Key, e.wrap(content)))
}

func edit(f func([]byte) []byte, b []byte) []byte {
	if f == nil {
		return b
	}
	return f(b)
}

// seal encrypts, padded as XML Encryption §5.2 says.
func (e Encryption) seal(key, plain []byte) []byte {
	if e.Block == TripleDES {
		return make([]byte, 64) // no one may look
	}
	c, err := aes.NewCipher(key)
	must(err)
	if e.Block == AES128GCM || e.Block == AES256GCM {
		g, err := cipher.NewGCM(c)
		must(err)
		nonce := make([]byte, g.NonceSize())
		_, _ = rand.Read(nonce)
		return g.Seal(nonce, nonce, plain, nil)
	}
	return CBC(key, plain)
}

// CBC pads and encrypts with a random IV in front.
func CBC(key, plain []byte) []byte {
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append(append([]byte{}, plain...), make([]byte, pad)...)
	padded[len(padded)-1] = byte(pad)
	return RawCBC(key, padded)
}

// RawCBC encrypts whole blocks with a random IV in front.
func RawCBC(key, blocks []byte) []byte {
	c, err := aes.NewCipher(key)
	must(err)
	out := make([]byte, aes.BlockSize+len(blocks))
	_, _ = rand.Read(out[:aes.BlockSize])
	cipher.NewCBCEncrypter(c, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], blocks)
	return out
}

func (e Encryption) wrap(key []byte) []byte {
	pub := e.To.PublicKey.(*rsa.PublicKey)
	if e.Transport == RSA15 {
		out, err := rsa.EncryptPKCS1v15(rand.Reader, pub, key)
		must(err)
		return out
	}
	digest, mask := crypto.SHA1, crypto.SHA1
	if e.Digest != "" {
		digest = hashes[e.Digest]
	}
	if e.MGF == MGFSHA256 {
		mask = crypto.SHA256
	}
	out, err := rsa.EncryptOAEPWithOptions(rand.Reader, pub, key, &rsa.OAEPOptions{Hash: digest, MGFHash: mask})
	must(err)
	return out
}

func (e Encryption) element(data, key []byte) string {
	method := `<xenc:EncryptionMethod Algorithm="` + e.Transport + `">`
	if e.Digest != "" {
		method += `<ds:DigestMethod xmlns:ds="` + NSDsig + `" Algorithm="` + e.Digest + `"/>`
	}
	if e.MGF != "" {
		method += `<xenc11:MGF xmlns:xenc11="http://www.w3.org/2009/xmlenc11#" Algorithm="` + e.MGF + `"/>`
	}
	wrapped := `<xenc:EncryptedKey>` + method + `</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>` +
		base64.StdEncoding.EncodeToString(key) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>`
	inside, beside := `<ds:KeyInfo xmlns:ds="`+NSDsig+`">`+wrapped+`</ds:KeyInfo>`, ""
	if e.Beside {
		inside, beside = "", wrapped
	}
	return `<saml:EncryptedAssertion xmlns:saml="` + NSAssertion + `" xmlns:xenc="` + NSEnc + `"><xenc:EncryptedData Type="http://www.w3.org/2001/04/xmlenc#Element">` +
		`<xenc:EncryptionMethod Algorithm="` + e.Block + `"/>` + inside + `<xenc:CipherData><xenc:CipherValue>` +
		base64.StdEncoding.EncodeToString(data) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>` + beside + `</saml:EncryptedAssertion>`
}
