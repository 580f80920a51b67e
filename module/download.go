package module

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// download answers the button of a file on the page a run waits with. It moves
// nothing (I28): the page stays where it is, and another one's button does nothing.
func (v *visit) download(id string, p *flows.Program, x *flows.Execution, values url.Values) (bool, error) {
	name := one(values, "download")
	if name == "" || number(one(values, "step")) != x.Wait.Step || number(one(values, "serial")) != x.Wait.Serial {
		return false, nil
	}
	v.lend(id, x)
	page, err := p.Show(v.r.Context(), x)
	if err != nil {
		return false, nil // what to show instead is said where every page is shown
	}
	file, offers := pages.File(&page, name)
	if !offers {
		return false, nil
	}
	if file == nil { // no answer to the step, whatever it takes
		return true, v.ask(http.StatusOK, id, x, page)
	}
	// I12: a script of the application on our origin does not read it.
	if d := v.r.Header.Get("Sec-Fetch-Dest"); d != "" && d != "document" {
		return true, v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("a file asked for by a script"))
	}
	pages.WriteFile(v.w, *file)
	return true, nil
}
