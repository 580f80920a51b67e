package module

import (
	"errors"
	"net/http"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// flow serves /.identity/flow: GET shows the page a run waits with, POST answers it.
func (v *visit) flow() error {
	if h := v.r.URL.Query().Get("h"); h != "" && v.r.Method == http.MethodGet {
		return v.takeUp(h)
	}
	if v.r.URL.Query().Has(arrivedParam) {
		return v.arrival()
	}
	id := v.r.URL.Query().Get("p")
	if id == "" {
		if ids, _ := v.pendings(); len(ids) > 0 {
			id = ids[len(ids)-1]
		}
	}
	if key := v.r.URL.Query().Get("resume"); validKey(key) && v.r.Method == http.MethodGet {
		if v.waits(key) {
			return v.sendAgain(key)
		}
		v.show(http.StatusOK, pages.View{Kind: pages.KindResume, Key: key, Link: v.returnTo(v.r.URL.Query().Get("return_to"))})
		return nil
	}
	if v.r.Method == http.MethodPost && !v.sameOrigin() {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form from another site"))
	}
	x, err := v.loadPending(id)
	if errors.Is(err, errNoPending) {
		return v.noPending(id)
	}
	if err != nil {
		return v.unavailable(err)
	}
	if v.away() {
		return v.onward(id, x)
	}
	if refused, err := v.mayChange(x); refused {
		return err
	}
	p, ok := v.program(x)
	if !ok {
		return v.stale(x.ReturnTo, savedOf(x), x.Attempt)
	}
	if kept := v.r.URL.Query().Get("kept"); kept == x.ID && x.Saved == "" && v.r.Method == http.MethodGet {
		x.Saved = kept
		v.restart(p, x) // the address of the provider is not kept: it is asked for anew
	}
	if x.Wait == nil { // restarted by a new config: from the first step
		return v.advance(id, p, x, nil)
	}
	if v.r.Method == http.MethodGet {
		return v.showCurrent(id, p, x)
	}
	return v.takeAnswer(id, p, x)
}

// takeAnswer takes the answer to the page that a run waits with.
func (v *visit) takeAnswer(id string, p *flows.Program, x *flows.Execution) error {
	values, status, err := v.readForm()
	if err != nil {
		return v.refuse(status, flows.ReasonInvalidAnswer, "", "", err)
	}
	if !equalToken(one(values, "token"), x.Token) {
		return v.refuse(http.StatusForbidden, flows.ReasonCrossSite, "", "", errors.New("form without the run's token"))
	}
	if done, err := v.download(id, p, x, values); done {
		return err
	}
	if one(values, "kept") == x.ID {
		x.Saved = x.ID
	}
	in := &flows.Input{Values: values}
	in.Step, in.Serial = number(one(values, "step")), number(one(values, "serial"))
	return v.advance(id, p, x, in)
}
