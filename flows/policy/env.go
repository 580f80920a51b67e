package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Source is a named condition as configured: its CEL and the file and line it was written at.
type Source struct{ CEL, Source string }

// Env compiles conditions and keeps the named ones. It is safe for concurrent use once New returned.
type Env struct {
	cel   *cel.Env
	names []string // of the policies, sorted
	named map[string]*unit
}

// New compiles all named policies. A cycle, an unknown name and CEL that does
// not compile are errors that name the policy's file and line.
func New(policies map[string]Source) (*Env, error) {
	e := &Env{names: slices.Sorted(maps.Keys(policies)), named: map[string]*unit{}}
	for _, n := range e.names {
		if !flows.ValidName(n) {
			return nil, fmt.Errorf("%spolicy %q: a name must match [a-z0-9_-]+", at(policies[n].Source), n)
		}
	}
	if err := e.build(); err != nil {
		return nil, fmt.Errorf("building the CEL environment: %w", err)
	}
	for _, n := range e.names {
		if err := e.load(n, policies, nil); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *Env) build() error {
	base, err := cel.NewEnv(ext.Strings(), ext.Network(), cel.CrossTypeNumericComparisons(true), cel.RegexProgramSizeLimit(regexLimit))
	if err != nil {
		return err
	}
	opts := []cel.EnvOption{
		cel.CustomTypeProvider(&provider{Provider: base.CELTypeProvider(), env: e}),
		cel.Variable("now", cel.TimestampType),
	}
	for root := range objects {
		opts = append(opts, cel.Variable(root, objectType(root)))
	}
	e.cel, err = base.Extend(opts...)
	return err
}

// load compiles a policy behind those it refers to.
func (e *Env) load(name string, all map[string]Source, path []string) error {
	if e.named[name] != nil {
		return nil
	}
	src := all[name]
	if i := slices.Index(path, name); i >= 0 {
		return fmt.Errorf("%spolicy %s refers to itself: %s", at(src.Source), name, strings.Join(append(path[i:], name), " → "))
	}
	path = append(slices.Clone(path), name)
	u, err := e.compile(src.CEL, src.Source, true, func(other string) error { return e.load(other, all, path) })
	var inner *loadError
	if errors.As(err, &inner) {
		return err // already says which policy and where
	}
	if err != nil {
		return &loadError{fmt.Errorf("%spolicy %s: %w", at(src.Source), name, err)}
	}
	u.index = slices.Index(e.names, name)
	e.named[name] = u
	return nil
}

type loadError struct{ error }

func (l *loadError) Unwrap() error { return l.error }

// Condition finds a named policy or compiles a condition.
func (e *Env) Condition(ref flows.ConditionRef) (flows.Condition, error) {
	switch {
	case ref.Policy != "" && ref.CEL != "":
		return nil, fmt.Errorf("%seither a policy or CEL, not both", at(ref.Source))
	case ref.Policy != "":
		u := e.named[ref.Policy]
		if u == nil {
			return nil, fmt.Errorf("%s%s", at(ref.Source), e.unknown(ref.Policy))
		}
		own := *u
		if ref.Source != "" {
			own.source = ref.Source // where it is used: that is the line that decides
		}
		return condition{&own, e}, nil
	case strings.TrimSpace(ref.CEL) == "":
		return nil, fmt.Errorf("%sthe condition is empty", at(ref.Source))
	}
	u, err := e.compile(ref.CEL, ref.Source, true, nil)
	if err != nil {
		return nil, fmt.Errorf("%s%w", at(ref.Source), err)
	}
	return condition{u, e}, nil
}

// Expression compiles CEL of any type.
func (e *Env) Expression(text, source string) (flows.Expression, error) {
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("%sthe expression is empty", at(source))
	}
	u, err := e.compile(text, source, false, nil)
	if err != nil {
		return nil, fmt.Errorf("%s%w", at(source), err)
	}
	return expression{u, e}, nil
}

// compile parses, checks names, type-checks and plans. need loads a policy that is referred to first.
func (e *Env) compile(text, source string, truth bool, need func(string) error) (*unit, error) {
	src := common.NewStringSource(text, "condition")
	ast, iss := e.cel.ParseSource(src)
	if err := iss.Err(); err != nil {
		return nil, err
	}
	names := &names{env: e, info: ast.NativeRep().SourceInfo(), errs: common.NewErrors(src)}
	names.visit(ast.NativeRep().Expr(), nil)
	if len(names.errs.GetErrors()) > 0 {
		return nil, errors.New(names.errs.ToDisplayString())
	}
	for _, p := range names.policies {
		if need == nil {
			break
		}
		if err := need(p); err != nil {
			return nil, err
		}
	}
	u := &unit{source: source, loops: names.loops, fixed: namesNothing(ast.NativeRep().Expr())}
	// Before the check, which rewrites the tree.
	u.reads, u.whenTrue, u.whenFalse = e.readsOf(ast.NativeRep().Expr())
	checked, err := e.check(ast)
	if err != nil {
		return nil, err
	}
	if t := checked.OutputType(); truth && t.Kind() != types.BoolKind && t.Kind() != types.DynKind {
		return nil, fmt.Errorf("a condition must be true or false, this is %s:\n%s", t, text)
	}
	u.prog, err = e.plan(checked.NativeRep(), u.loops)
	return u, err
}

// namesNothing reports whether an expression is made of literals alone.
func namesNothing(e celast.Expr) bool {
	fixed := true
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) { fixed = fixed && e.Kind() != celast.IdentKind }))
	return fixed
}

// check type-checks. The library's measure of regular expressions (v0.32.0) panics at
// a counted repetition, at a literal here and at any other when it is evaluated.
func (e *Env) check(ast *cel.Ast) (checked *cel.Ast, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("a regular expression cannot be measured: write repetitions out, [0-9][0-9] and not [0-9]{2}")
		}
	}()
	checked, iss := e.cel.Check(ast)
	return checked, iss.Err()
}

func (e *Env) plan(a *celast.AST, loops bool) (cel.Program, error) {
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if loops {
		opts = append(opts, cel.CostLimit(costLimit), cel.InterruptCheckFrequency(16))
	}
	return e.cel.PlanProgram(a, opts...)
}

func (e *Env) unknown(name string) string {
	if len(e.names) == 0 {
		return fmt.Sprintf("no policy is called '%s'; none is defined", name)
	}
	return fmt.Sprintf("no policy is called '%s'; there are: %s", name, strings.Join(e.names, ", "))
}

// at is the beginning of an error about a configured line.
func at(source string) string {
	if source == "" {
		return ""
	}
	return source + ": "
}
