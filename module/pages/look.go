package pages

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

//go:embed templates/style.css
var styleSheet string

const maxLogo = 256 << 10

// loadLogo reads an image into a data: URL. An SVG in <img> runs no scripts and
// loads nothing, and the page's policy forbids both anyway.
func loadLogo(path string) (template.URL, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("logo: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLogo+1))
	if err != nil {
		return "", fmt.Errorf("logo: %w", err)
	}
	if len(b) > maxLogo {
		return "", fmt.Errorf("logo %s: larger than 256 KiB", path)
	}
	kind := imageKind(b)
	if kind == "" {
		return "", fmt.Errorf("logo %s: neither svg, png, jpeg nor webp", path)
	}
	return template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(b)), nil //nolint:gosec // base64 of the operator's own file
}

// imageKind goes by what is in the file, not by its name.
func imageKind(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "png"
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "jpeg"
	case len(b) > 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return "webp"
	case bytes.Contains(b[:min(len(b), 4096)], []byte("<svg")):
		return "svg+xml"
	}
	return ""
}

var hexColour = regexp.MustCompile(`^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$`)

const (
	defaultAccent = "#1f5fbf"
	paper         = "#ffffff"
	darkPaper     = "#191d24"
	// WCAG 2.2 §1.4.3: text of this contrast is readable.
	readable = 4.5
)

// loadStyle is the style sheet with the accent colour: as chosen for buttons,
// and moved until readable for links and focus on a light and on a dark page.
func loadStyle(accent string) (template.CSS, error) {
	if accent == "" {
		accent = defaultAccent
	}
	if !hexColour.MatchString(accent) {
		return "", fmt.Errorf("accent '%s' is no colour: write #rgb or #rrggbb", accent)
	}
	c := parseColour(accent)
	white, dark := parseColour(paper), parseColour(darkPaper)
	onLight, onDark := c.until(white, colour{}, readable), c.until(dark, white, readable)
	vars := strings.NewReplacer(
		"{{accent}}", c.String(), "{{on-accent}}", c.ink(),
		"{{link-light}}", onLight.String(), "{{link-dark}}", onDark.String(),
		"{{rim-light}}", c.rim(white, onLight), "{{rim-dark}}", c.rim(dark, onDark),
	)
	css := vars.Replace(styleSheet)
	if strings.Contains(css, "{{") || strings.Contains(css, "</") {
		return "", errors.New("style sheet is damaged")
	}
	return template.CSS(css), nil //nolint:gosec // our own file and checked colours
}

type colour struct{ r, g, b float64 }

func parseColour(s string) colour {
	s = s[1:]
	if len(s) == 3 {
		s = string([]byte{s[0], s[0], s[1], s[1], s[2], s[2]})
	}
	n, _ := strconv.ParseUint(s, 16, 32)
	return colour{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}
}

func (c colour) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(c.r), int(c.g), int(c.b))
}

// luminance as WCAG 2.2 defines it.
func (c colour) luminance() float64 {
	lin := func(v float64) float64 {
		if v /= 255; v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(c.r) + 0.7152*lin(c.g) + 0.0722*lin(c.b)
}

func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// until mixes the colour with towards until it has the contrast against paper.
func (c colour) until(paper, towards colour, want float64) colour {
	for i := range 21 {
		f := float64(i) / 20
		m := colour{math.Round(c.r + (towards.r-c.r)*f), math.Round(c.g + (towards.g-c.g)*f), math.Round(c.b + (towards.b-c.b)*f)}
		if contrast(m, paper) >= want {
			return m
		}
	}
	return towards
}

// rim is the border of a button: none where the button stands out from the
// paper by itself (WCAG 2.2 §1.4.11), else a colour that does.
func (c colour) rim(paper, strong colour) string {
	if contrast(c, paper) >= 3 {
		return "transparent"
	}
	return strong.String()
}

// ink is the text colour on this background: white if readable, else black: one of the two always is.
func (c colour) ink() string {
	if contrast(c, parseColour(paper)) >= readable {
		return paper
	}
	return "#000000"
}
