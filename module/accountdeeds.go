package module

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/pages"
)

// deed is one change that a person makes on the account page.
type deed struct {
	// find checks the target and says what the person knows it by; flows.ErrNotFound:
	// there is none, or it is somebody else's.
	find func(v *visit, ctx context.Context, target string) (title string, err error)
	// do makes the change, behind the proof. nil: the flow did all there is to do.
	do func(v *visit, ctx context.Context, x *flows.Execution) error
	// reconsider: it is asked for once more behind the proof.
	reconsider bool
}

var deeds = map[string]deed{
	"factor_add":    {find: (*visit).findKind},
	"factor_name":   {find: (*visit).findFactor, do: (*visit).nameFactor},
	"factor_remove": {find: (*visit).findFactor, do: (*visit).removeFactor},
	"device_remove": {find: (*visit).findDevice, do: (*visit).removeDevice},
	"session_end":   {find: (*visit).findSession, do: (*visit).endOne},
	"sessions_end":  {find: (*visit).findNothing, do: (*visit).endOthers},
	"download":      {find: (*visit).findNothing},
	"erase":         {find: (*visit).findNothing, do: (*visit).eraseMe, reconsider: true},
}

func (v *visit) findNothing(_ context.Context, target string) (string, error) {
	if target != "" {
		return "", flows.ErrNotFound
	}
	return "", nil
}

// accountEvent begins an event of a change.
func (v *visit) accountEvent(kind audit.Kind, x *flows.Execution) audit.Event {
	e := v.event(kind)
	e.User, e.Name, e.Provider, e.Flow = x.User.Key, x.User.Name, x.User.Provider, x.Flow
	return e
}

func (v *visit) findDevice(ctx context.Context, target string) (string, error) {
	list, err := v.app.devicesOf(ctx, v.session.User.Key)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(list, func(d device) bool { return d.ID == target })
	if i < 0 {
		return "", flows.ErrNotFound
	}
	return agentTitle(list[i].Agent), nil
}

func (v *visit) removeDevice(ctx context.Context, x *flows.Execution) error {
	if err := v.app.forgetDevice(ctx, x.User.Key, x.Action.Target); err != nil {
		return err
	}
	v.app.trail.Note(v.accountEvent(audit.DeviceForgotten, x)) // what takes away does not wait (I25)
	v.tellOf(x, "device_removed", map[string]string{"device": x.Action.Title})
	return nil
}

func (v *visit) findSession(ctx context.Context, target string) (string, error) {
	c, err := v.app.sessions.Card(ctx, target)
	if err != nil {
		return "", err
	}
	if c.User != v.session.User.Key || !c.Ended.IsZero() || c.ID == v.session.ID() {
		return "", flows.ErrNotFound // the one here ends by signing out
	}
	return agentTitle(c.Agent), nil
}

func (v *visit) endOne(ctx context.Context, x *flows.Execution) error {
	if _, err := v.findSession(ctx, x.Action.Target); err != nil {
		return err
	}
	if err := v.app.endSession(ctx, x.Action.Target, ReasonLogout, nil); err != nil {
		return err
	}
	v.tellOf(x, "session_ended", map[string]string{"device": x.Action.Title})
	return nil
}

// endOthers ends all sessions of the person but this one.
func (v *visit) endOthers(ctx context.Context, x *flows.Execution) error {
	const page = 500
	for after := ""; ; {
		cards, err := v.app.sessions.List(ctx, x.User.Key, after, page)
		if err != nil {
			return err
		}
		for _, c := range cards {
			if after = c.ID; c.ID == v.session.ID() {
				continue
			}
			if err := v.app.endSession(ctx, c.ID, ReasonLogout, nil); err != nil {
				return err
			}
		}
		if len(cards) < page {
			break
		}
	}
	v.tellOf(x, "sessions_ended", nil)
	return nil
}

// eraseMe forgets the person, and ends all of their sessions, this one too.
func (v *visit) eraseMe(ctx context.Context, x *flows.Execution) error {
	if _, err := v.app.trail.Before(ctx, v.accountEvent(audit.AccountErased, x)); err != nil {
		return err
	}
	if err := v.app.erase(ctx, x.User.Key); err != nil {
		return err
	}
	v.tellOf(x, "account_erased", nil)
	return nil
}

// tellOf tells the person of a change, in the language of the pages they made it on.
func (v *visit) tellOf(x *flows.Execution, kind string, values map[string]string) {
	all := map[string]string{"host": v.place.host}
	maps.Copy(all, values)
	v.app.tell(v.r.Context(), x.User, x.Language, kind, all)
}

func (v *visit) erased() error {
	v.clearCookies(v.w)
	v.clearPending()
	v.sideCookie(v.trustName(), "", "/", -1)
	v.session = nil
	v.show(http.StatusOK, pages.View{Kind: pages.KindSignedOut, Link: "/"})
	return nil
}
