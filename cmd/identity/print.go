package identity

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// session is what the list shows of one.
type session struct {
	ID       string    `json:"id"`
	User     string    `json:"user"`
	Name     string    `json:"name"`
	Provider string    `json:"provider"`
	Started  time.Time `json:"started"`
	Seen     time.Time `json:"seen"`
	Expires  time.Time `json:"expires"`
	IP       string    `json:"ip"`
}

type provider struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"`
	// Checked and Since are of the health checks.
	Checked time.Time `json:"checked,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Drills  []drill   `json:"drills,omitempty"`
}

// printLines prints what programs read, one object a line.
func printLines(w io.Writer, list []json.RawMessage) error {
	for _, one := range list {
		if _, err := fmt.Fprintf(w, "%s\n", one); err != nil {
			return err
		}
	}
	return nil
}

func printSessions(w io.Writer, list []json.RawMessage, raw bool) error {
	if raw {
		return printLines(w, list)
	}
	rows := [][]string{{"ID", "USER", "NAME", "PROVIDER", "STARTED", "SEEN", "EXPIRES", "IP"}}
	for _, one := range list {
		var s session
		if err := json.Unmarshal(one, &s); err != nil {
			return fmt.Errorf("a session of the list: %w", err)
		}
		rows = append(rows, []string{s.ID, s.User, s.Name, s.Provider, clock(s.Started), clock(s.Seen), clock(s.Expires), s.IP})
	}
	return table(w, rows)
}

// factor is what the list shows of one, and of a trusted browser.
type factor struct {
	ID          string    `json:"id"`
	Factor      string    `json:"factor"`
	Name        string    `json:"name"`
	Agent       string    `json:"agent"`
	Created     time.Time `json:"created"`
	Proved      time.Time `json:"proved"`
	Used        time.Time `json:"used"`
	Until       time.Time `json:"until"`
	Tries       int       `json:"tries"`
	LockedUntil time.Time `json:"locked_until"`
}

func printFactors(w io.Writer, factors, devices []json.RawMessage, raw bool) error {
	if raw {
		return printLines(w, append(factors, devices...))
	}
	rows := [][]string{{"ID", "KIND", "NAME", "SINCE", "USED", "UNTIL", "TRIES", "LOCKED UNTIL"}}
	for _, one := range factors {
		var f factor
		if err := json.Unmarshal(one, &f); err != nil {
			return fmt.Errorf("a factor of the list: %w", err)
		}
		rows = append(rows, []string{f.ID, f.Factor, f.Name, clock(f.Created), clock(f.Used), "", strconv.Itoa(f.Tries), clock(f.LockedUntil)})
	}
	for _, one := range devices {
		var f factor
		if err := json.Unmarshal(one, &f); err != nil {
			return fmt.Errorf("a trusted browser of the list: %w", err)
		}
		rows = append(rows, []string{f.ID, "trusted browser", f.Agent, clock(f.Proved), clock(f.Used), clock(f.Until), "", ""})
	}
	return table(w, rows)
}

func printProviders(w io.Writer, list []provider, raw bool) error {
	rows := [][]string{{"NAME", "TYPE", "HEALTHY", "CHECKED", "DRILLS", "ERROR"}}
	for _, p := range list {
		if raw {
			if err := json.NewEncoder(w).Encode(p); err != nil {
				return err
			}
			continue
		}
		healthy := "yes"
		if !p.Healthy {
			healthy = "no"
		}
		checked, drills := "", make([]string, len(p.Drills))
		if !p.Checked.IsZero() {
			checked = clock(p.Checked)
		}
		for i, d := range p.Drills {
			drills[i] = d.User + " until " + clock(d.Until)
		}
		rows = append(rows, []string{p.Name, p.Type, healthy, checked, strings.Join(drills, ", "), p.Error})
	}
	if raw {
		return nil
	}
	return table(w, rows)
}

// clock is "" for no time.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// table prints what others may have chosen, a name or an error of a provider, so
// that it cannot move the cursor or write over other lines of a terminal.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = strings.Map(printable, cell)
			if row[i] == "" {
				row[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}
