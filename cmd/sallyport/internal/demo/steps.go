package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

const wanted = "/reports?month=3"

func (w *walk) stranger() error {
	p, err := w.alice.Open(w.address + wanted)
	if err != nil {
		return err
	}
	return atProvider(w, p)
}

func atProvider(w *walk, p *browser.Page) error {
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, w.issuer+"/sign-in") {
		return unexpected(p, "the provider's sign-in page")
	}
	return nil
}

func (w *walk) program() error {
	b := browser.New()
	defer b.Close()
	p, err := b.Fetch(&browser.Page{URL: w.address + "/"}, http.MethodGet, w.address+"/data.json", "")
	if err != nil {
		return err
	}
	var answer struct {
		Error string `json:"error"`
		Login string `json:"login_url"`
	}
	if err := json.Unmarshal([]byte(p.Body), &answer); err != nil {
		return unexpected(p, "JSON")
	}
	if p.Status != http.StatusUnauthorized || answer.Error != "login_required" || answer.Login == "" || p.Header.Get("Set-Cookie") != "" {
		return unexpected(p, "401 login_required with a login_url and without a cookie")
	}
	return nil
}

func (w *walk) wrongPassword() error {
	p, err := w.signInAs(w.alice, people[0].Name, "not "+people[0].Password, wanted)
	if err != nil {
		return err
	}
	if p.Status != http.StatusUnauthorized || !p.Has("Wrong name or password.") {
		return unexpected(p, "the provider's refusal")
	}
	return nil
}

// signInAs opens path and fills in the provider's page.
func (w *walk) signInAs(b *browser.Browser, name, password, path string) (*browser.Page, error) {
	p, err := b.Open(w.address + path)
	if err != nil {
		return nil, err
	}
	if err := atProvider(w, p); err != nil {
		return nil, err
	}
	return p.Fill("username", name, "password", password)
}

func (w *walk) signIn() error {
	p, err := w.signInAs(w.alice, people[0].Name, people[0].Password, wanted)
	if err != nil {
		return err
	}
	if p.Status != http.StatusOK || p.URL != w.address+wanted {
		return unexpected(p, w.address+wanted)
	}
	return nil
}

func (w *walk) greeted() error { return greets(w.alice, w.address+"/", "alice") }

func greets(b *browser.Browser, address, name string) error {
	p, err := b.Open(address)
	if err != nil {
		return err
	}
	if p.Status != http.StatusOK || !p.Has("Welcome, "+name+"!") || !strings.Contains(p.Text(), " SM_USER "+name+" ") {
		return unexpected(p, "a welcome to "+name+" and the header SM_USER")
	}
	return nil
}

func (w *walk) admin() error {
	p, err := w.alice.Open(w.address + "/admin/")
	if err != nil {
		return err
	}
	if p.Status != http.StatusOK || !p.Has("Hello administrator alice.") {
		return unexpected(p, "the admin corner")
	}
	return nil
}

func (w *walk) forged() error {
	for _, name := range []string{"SM_USER", "SM-USER", "Sm.User", "sm_user"} {
		lie := http.Header{name: {"mallory"}, "Connection": {"SM_USER"}}
		p, err := w.alice.Navigate(browser.Request{URL: w.address + "/", Header: lie})
		if err != nil {
			return err
		}
		if p.Status != http.StatusOK || !p.Has("Welcome, alice!") || p.Has("mallory") {
			return unexpected(p, name+" of the client to be gone")
		}
		stranger := browser.New()
		p, err = stranger.Navigate(browser.Request{URL: w.address + "/", Header: lie})
		stranger.Close()
		if err != nil {
			return err
		}
		if err := atProvider(w, p); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) cookies() error {
	size := 0
	for _, c := range w.alice.Jar.Cookies(w.address + "/") {
		size += len(c.Name) + len("=; ") + len(c.Value)
		p, err := w.alice.Open(w.address + "/")
		if err != nil {
			return err
		}
		if strings.Contains(p.Body, c.Value) {
			return unexpected(p, "the application not to get the cookie "+c.Name)
		}
	}
	if size == 0 || size >= 300 {
		return fmt.Errorf("the cookies have %d bytes", size)
	}
	return nil
}

var eventID = regexp.MustCompile(`[A-Za-z0-9_-]{8,}`)

func (w *walk) denied() error {
	home, err := w.signInAs(w.bob, people[1].Name, people[1].Password, "/")
	if err != nil {
		return err
	}
	if home.Status != http.StatusOK || !home.Has("Welcome, bob!") {
		return unexpected(home, "a welcome to bob")
	}
	p, err := w.bob.Open(w.address + "/admin/")
	if err != nil {
		return err
	}
	if p.Status != http.StatusForbidden || !p.Has("Administrators only.") || p.Has("Hello administrator") {
		return unexpected(p, "403 and the operator's words")
	}
	p, err = w.bob.Send(browser.Request{URL: w.address + "/admin/", Script: true, Header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return err
	}
	var answer struct{ Error, Reason, ID string }
	if err := json.Unmarshal([]byte(p.Body), &answer); err != nil {
		return unexpected(p, "JSON")
	}
	if p.Status != http.StatusForbidden || answer.Error != "not_allowed" || answer.Reason == "" || !eventID.MatchString(answer.ID) {
		return unexpected(p, "403 not_allowed with reason and id")
	}
	return w.inLog(answer.ID)
}

// inLog waits until the log knows an id: denials are noted beside the request.
func (w *walk) inLog(id string) error {
	for range 100 {
		if log, err := os.ReadFile(w.logFile()); err != nil || strings.Contains(string(log), id) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the log does not know the id %s", id)
}

func (w *walk) logout() error {
	p, err := w.alice.Open(w.address + "/")
	if err != nil {
		return err
	}
	w.old = w.alice.Jar.Clone()
	p, err = p.Click("/.identity/logout")
	if err != nil {
		return err
	}
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, w.address+"/.identity/") || !strings.Contains(strings.ToLower(p.Text()), "signed out") {
		return unexpected(p, "the signed-out page of the gateway")
	}
	return nil
}

func (w *walk) dead() error {
	thief := browser.New()
	defer thief.Close()
	thief.Jar = w.old
	p, err := thief.Fetch(&browser.Page{URL: w.address + "/"}, http.MethodGet, w.address+"/", "")
	if err != nil {
		return err
	}
	if p.Status != http.StatusUnauthorized {
		return unexpected(p, "401")
	}
	return nil
}

func (w *walk) again() error { return w.stranger() }
