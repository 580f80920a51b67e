package saml

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// threadCPU is what this thread has used: other work on the machine does not count.
func threadCPU() time.Duration {
	const clockThread = 3 // CLOCK_THREAD_CPUTIME_ID
	var ts syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockThread, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}

// perAnswer reports the CPU of one message, garbage collection included: the
// clock on the wall says more about the machine's other work.
func perAnswer(b *testing.B, d *duo, form url.Values) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(len(form.Get("SAMLResponse"))))
	start := cpu()
	for b.Loop() {
		_, _ = d.s.Receive(b.Context(), posted(form))
	}
	b.ReportMetric(float64(cpu()-start)/1e6/float64(b.N), "cpu-ms/op")
}

// BenchmarkACS is what a good answer costs (≤ 5 ms CPU for a usual one).
func BenchmarkACS(b *testing.B) {
	for _, tc := range []struct {
		name string
		edit func(r *samltest.Response, s *samltest.Signing)
	}{
		{"assertion-signed", func(*samltest.Response, *samltest.Signing) {}},
		{"both-signed", func(r *samltest.Response, s *samltest.Signing) { r.Sign = s }},
		{"encrypted-gcm", func(r *samltest.Response, _ *samltest.Signing) {
			r.Assertion.Encrypt = &samltest.Encryption{To: own.Cert}
		}},
		{"encrypted-cbc", func(r *samltest.Response, _ *samltest.Signing) {
			r.Assertion.Encrypt = &samltest.Encryption{To: own.Cert, Block: samltest.AES256CBC}
		}},
		{"5000-groups", func(r *samltest.Response, _ *samltest.Signing) { samltest.ManyGroups(r, 5000) }},
	} {
		b.Run(tc.name, func(b *testing.B) {
			d := newDuo(b, nil)
			r, private := d.begin()
			res := d.idp.Respond(r)
			tc.edit(res, d.idp.Signing())
			form := res.Form()
			if _, err := d.finish(posted(form), private); err != nil {
				b.Fatal(err)
			}
			perAnswer(b, d, form)
		})
	}
}

// worst are the costliest messages that we could think of within the cap. All are
// refused, and nobody needs a key to send them.
func worst(d *duo) map[string]string {
	const room = maxMessage/4*3 - 8<<10
	fill := func(unit string) string { return strings.Repeat(unit, room/len(unit)) }
	spaces := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ` xmlns:a%d="u:%d"`, i, i)
		}
		return b.String()
	}
	many := func(elements int, unit string) string {
		return strings.Repeat(unit, min(elements, room/len(unit)))
	}
	around := func(inside string) string { // behind a signature that nobody made
		r, _ := d.begin()
		res := d.idp.Respond(r)
		res.Assertion.Sign = &samltest.Signing{Pair: samltest.RSA(66)}
		res.After = func(x string) string {
			return strings.Replace(x, "<saml:Subject>", inside+"<saml:Subject>", 1)
		}
		return res.XML()
	}
	genuine := func(inside string) string { // behind one that was made for another content
		r, _ := d.begin()
		res := d.idp.Respond(r)
		res.Assertion.After = func(x string) string { return strings.Replace(x, "<saml:Subject>", inside+"<saml:Subject>", 1) }
		return res.XML()
	}
	sealed := func(inside string) string { // in a ciphertext for us
		r, _ := d.begin()
		res := d.idp.Respond(r)
		res.Assertion.Encrypt = &samltest.Encryption{To: own.Cert, Block: samltest.AES256CBC}
		res.Assertion.Sign = &samltest.Signing{Pair: samltest.RSA(66)}
		res.Assertion.After = func(x string) string {
			return strings.Replace(x, "<saml:Subject>", inside+"<saml:Subject>", 1)
		}
		return res.XML()
	}
	half := func(s, unit string) string { n := len(s) / len(unit) * 7 / 10; return strings.Repeat(unit, n) }
	l := messageLimits
	empties, rows := many(l.elements-50, "<x/>"), fill(`<a>bbbbbbbbbbbbb</a>`)
	nested := strings.Repeat(strings.Repeat("<x>", l.depth-4)+strings.Repeat("</x>", l.depth-4), (l.elements-100)/(l.depth-4))
	scoped := "<y" + spaces(l.prefixes-4) + ">" + many(l.elements-50, `<x a="b"/>`) + "</y>"
	declaring := many(l.elements-50, `<x xmlns:q="u:q" q:z=""/>`)
	attributed := fill("<x " + func() string {
		var b strings.Builder
		for i := range l.attributes - 1 {
			fmt.Fprintf(&b, `a%c=""`, 'a'+i)
			b.WriteByte(' ')
		}
		return b.String()
	}() + "/>")
	long := func(n int) string { // canonicalisation writes these names again at every use
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ` xmlns:%c="u:%s"`, 'b'+i, strings.Repeat("u", l.uri-2))
		}
		return b.String()
	}
	uses := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ` %c:%c=""`, 'b'+i, 'b'+i)
		}
		return "<x" + b.String() + "/>"
	}
	expanding := "<y" + long(1) + ">" + many(l.elements-50, "<b:x/>") + "</y>"
	wide := "<y" + long(20) + ">" + strings.Repeat(uses(20), (room-5000)/len(uses(20))) + "</y>"
	wideSealed := "<y" + long(20) + ">" + strings.Repeat(uses(20), (room-5000)*7/10/len(uses(20))) + "</y>"
	out := map[string]string{
		"sealed-wide": sealed(wideSealed), "sealed-expanding": sealed(expanding),
		"no-element": fill(" "), "text": around(fill("x")), "ampersands": around("<x>" + fill("&amp;") + "</x>"), "one-attribute": around(`<x a="` + fill("&lt;") + `"/>`),
		"comments": around(fill("<!---->")), "cdata": around("<x>" + fill("<![CDATA[]]>") + "</x>"), "newlines": around("<x>" + fill("\r\n") + "</x>"),
		"sealed": sealed(half(rows, `<a>bbbbbbbbbbbbb</a>`)), "sealed-empties": sealed(half(empties, "<x/>")),
		"signature-value": func() string {
			r, _ := d.begin()
			res := d.idp.Respond(r)
			res.Assertion.After = samltest.Swap("<ds:SignatureValue>", "<ds:SignatureValue>"+fill("A"))
			return res.XML()
		}(),
	}
	for name, inside := range map[string]string{
		"empties": empties, "rows": rows, "nested": nested, "scoped": scoped, "declaring": declaring, "attributes": attributed,
		"expanding": expanding, "wide": wide,
		"ids": many(l.elements-50, "<x ID='%s'/>"),
	} {
		if name == "ids" {
			var b strings.Builder
			for i := range (room - 100) / 14 {
				if i >= l.elements-50 {
					break
				}
				fmt.Fprintf(&b, `<x ID="i%05d"/>`, i)
			}
			inside = b.String()[:min(b.Len(), room/15*15)]
			inside = inside[:strings.LastIndex(inside, "/>")+2]
		}
		out[name], out[name+"-digested"] = around(inside), genuine(inside)
	}
	return out
}

// BenchmarkWorstMessage is what a stranger can make us do (≤ 200 ms CPU).
func BenchmarkWorstMessage(b *testing.B) {
	d := newDuo(b, nil)
	d.idp.More = []samltest.Pair{samltest.RSA(8), samltest.RSA(9)}
	d = duoWith(b, d.idp, nil)
	for name, message := range worst(d) {
		form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(message))}}
		if n := len(form.Get("SAMLResponse")); n > maxMessage {
			b.Errorf("%s: %d bytes are over the cap", name, n)
		}
		b.Run(name, func(b *testing.B) {
			_, err := d.s.Receive(b.Context(), posted(form))
			if err == nil {
				b.Fatal("accepted")
			}
			b.Logf("%d bytes: %v", len(message), outbound.Clip(err.Error(), 150))
			perAnswer(b, d, form)
		})
	}
}

// BenchmarkSealedRefusal compares how long the ways to fail with a ciphertext
// take in CPU time, in turns so that the machine treats all alike. Reported are the
// median of each and the largest difference between two medians, all in microseconds.
func BenchmarkSealedRefusal(b *testing.B) {
	d := newDuo(b, nil)
	seal := func(edit func(e *samltest.Encryption, a *samltest.Assertion)) url.Values {
		r, _ := d.begin()
		res := d.idp.Respond(r)
		res.Assertion.Encrypt = &samltest.Encryption{To: own.Cert, Block: samltest.AES256CBC}
		edit(res.Assertion.Encrypt, res.Assertion)
		return res.Form()
	}
	flip := func(from int) func([]byte) []byte {
		return func(b []byte) []byte {
			if from < 0 {
				from += len(b)
			}
			b[from] ^= 0x55
			return b
		}
	}
	ways := map[string]url.Values{
		"wrapped-key":  seal(func(e *samltest.Encryption, _ *samltest.Assertion) { e.Key = flip(30) }),
		"padding":      seal(func(e *samltest.Encryption, _ *samltest.Assertion) { e.Data = flip(-17) }),
		"first-block":  seal(func(e *samltest.Encryption, _ *samltest.Assertion) { e.Data = flip(0) }),
		"middle-block": seal(func(e *samltest.Encryption, _ *samltest.Assertion) { e.Data = flip(1600) }),
		"late-block":   seal(func(e *samltest.Encryption, _ *samltest.Assertion) { e.Data = flip(-100) }),
		"not-xml": seal(func(e *samltest.Encryption, _ *samltest.Assertion) {
			e.Plain = func(b []byte) []byte { return make([]byte, len(b)) }
		}),
		"unsigned": seal(func(_ *samltest.Encryption, a *samltest.Assertion) { a.Sign = nil }),
		"foreign": seal(func(_ *samltest.Encryption, a *samltest.Assertion) {
			a.Sign = &samltest.Signing{Pair: samltest.RSA(66)}
		}),
		"changed-content": seal(func(_ *samltest.Encryption, a *samltest.Assertion) { a.After = samltest.Swap(">alice<", ">admin<") }),
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	times := map[string][]time.Duration{}
	for b.Loop() {
		for name, form := range ways {
			start := threadCPU()
			if _, err := d.s.Receive(b.Context(), posted(form)); err == nil || !strings.Contains(err.Error(), errSealed.Error()) {
				b.Fatalf("%s: %v", name, err)
			}
			times[name] = append(times[name], threadCPU()-start)
		}
	}
	low, high := time.Duration(1<<62), time.Duration(0)
	for name, list := range times {
		slices.Sort(list)
		median := list[len(list)/2]
		low, high = min(low, median), max(high, median)
		b.ReportMetric(float64(median.Microseconds()), name+"-µs")
	}
	b.ReportMetric(float64((high - low).Microseconds()), "apart-µs")
}
