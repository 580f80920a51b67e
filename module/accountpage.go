package module

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/module/pages"
)

// showAccount draws the page.
func (v *visit) showAccount(me *person) error {
	token, err := v.accountToken(v.r.Context())
	if err != nil {
		return v.unavailable(err)
	}
	a := &pages.Account{Done: v.r.URL.Query().Get("done"), Sections: []pages.Section{v.factorSection(me)}}
	a.Sections = append(a.Sections, deviceSection(me), sessionSection(me))
	a.Sections = append(a.Sections, keptSections(me)...)
	a.Sections = append(a.Sections, pages.Section{Name: "data", Buttons: []pages.Button{
		{Do: "download", Label: "download"}, {Do: "erase", Label: "erase"},
	}})
	v.show(http.StatusOK, pages.View{
		Kind: pages.KindAccount, Account: a, Action: accountPath, Token: token, User: me.Name,
		Link: "/.identity/logout", FormAction: v.formTargets(),
	})
	return nil
}

func (v *visit) factorSection(me *person) pages.Section {
	s := pages.Section{Name: "factors", None: "factors_none"}
	usable := false
	for _, f := range me.Factors {
		usable = usable || v.app.factors[f.Factor] != nil
		i := pages.Item{Title: f.Name, Label: f.Factor, Lines: []pages.Line{since(f.Created), lastUsed(f.Used)}, Buttons: []pages.Button{
			{Do: "factor_name", Target: f.ID, Label: "rename"}, {Do: "factor_remove", Target: f.ID, Label: "remove"},
		}}
		if f.Name == "" {
			i.Title, i.Label = f.Factor, ""
		}
		s.Items = append(s.Items, i)
	}
	if v.session.User.Transient {
		return s
	}
	for _, kind := range v.app.kindsToAdd(usable) {
		_, setUp := v.app.factors[kind].Labels()
		s.Buttons = append(s.Buttons, pages.Button{Do: "factor_add", Target: kind, Label: setUp})
	}
	return s
}

func deviceSection(me *person) pages.Section {
	s := pages.Section{Name: "devices", None: "devices_none"}
	for _, d := range me.Devices {
		s.Items = append(s.Items, pages.Item{
			Title: agentTitle(d.Agent), Lines: []pages.Line{since(d.Proved), lastUsed(d.Used), {Label: "until", Value: moment(d.Until)}, {Label: "address", Value: d.IP}},
			Buttons: []pages.Button{{Do: "device_remove", Target: d.ID, Label: "remove"}},
		})
	}
	return s
}

func sessionSection(me *person) pages.Section {
	s := pages.Section{Name: "sessions"}
	for _, one := range me.Sessions {
		i := pages.Item{Title: agentTitle(one.Agent), Lines: []pages.Line{
			{Label: "signed_in_at", Value: moment(one.Started)}, lastUsed(one.Seen), {Label: "address", Value: one.IP}, {Label: "at_applications", Value: hosts(one.Origins)},
		}}
		if one.Here {
			i.Label = "this_session"
		} else {
			i.Buttons = []pages.Button{{Do: "session_end", Target: one.ID, Label: "session_end"}}
		}
		s.Items = append(s.Items, i)
	}
	if len(me.Sessions) > 1 {
		s.Buttons = []pages.Button{{Do: "sessions_end", Label: "sessions_end"}}
	}
	return s
}

// keptSections are what steps keep, in the order of their names.
func keptSections(me *person) (list []pages.Section) {
	for _, name := range orderOf(nil, me.Kept) {
		s := pages.Section{Name: name}
		for _, k := range me.Kept[name] {
			i := pages.Item{Title: k.Title, Lines: []pages.Line{{Label: "value", Value: k.Value}, {Label: "version_of", Value: k.Version}, since(k.At)}}
			if i.Title == "" {
				i.Title = k.Name
			}
			s.Items = append(s.Items, i)
		}
		list = append(list, s)
	}
	return list
}

func since(t time.Time) pages.Line { return pages.Line{Label: "since", Value: moment(t)} }

func lastUsed(t time.Time) pages.Line { return pages.Line{Label: "last_used", Value: moment(t)} }

// moment is a time as it reads the same in every language; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// hosts are origins without their schemes.
func hosts(origins []string) string {
	var out []string
	for _, o := range origins {
		_, host, _ := strings.Cut(o, "://")
		out = append(out, host)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}
