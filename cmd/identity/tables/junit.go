package tables

import (
	"encoding/xml"
	"io"
	"strings"
	"time"
)

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Suites   []*suite `xml:"testsuite"`
}

type suite struct {
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Seconds  float64    `xml:"time,attr"`
	Cases    []testcase `xml:"testcase"`
}

type testcase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	File    string   `xml:"file,attr"`
	Line    int      `xml:"line,attr"`
	Seconds float64  `xml:"time,attr"`
	Failure *failure `xml:"failure,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes results as the XML that CI systems read: a suite for each file.
func JUnit(w io.Writer, results []*Result) error {
	all := suites{}
	byFile := map[string]*suite{}
	for _, r := range results {
		s := byFile[r.File]
		if s == nil {
			s = &suite{Name: r.File}
			byFile[r.File] = s
			all.Suites = append(all.Suites, s)
		}
		t := testcase{Name: r.Name, Class: r.File, File: r.File, Line: r.Line, Seconds: float64(r.Took) / float64(time.Second)}
		if len(r.Differs) > 0 {
			t.Failure = &failure{Message: r.Differs[0], Text: strings.Join(r.Differs, "\n")}
			s.Failures++
			all.Failures++
		}
		s.Cases = append(s.Cases, t)
		s.Tests++
		s.Seconds += t.Seconds
		all.Tests++
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
