package policy

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/sallyport-gateway/sallyport/flows"
)

// field is one name of an object: its type, how to get it, and whether it is
// there (nil: always).
type field struct {
	typ *cel.Type
	get func(*view) (any, error)
	has func(*view) bool
}

// tenYears is the age of what never happened.
const tenYears = 10 * 365 * 24 * time.Hour

var (
	strs      = cel.ListType(cel.StringType)
	strMap    = cel.MapType(cel.StringType, cel.StringType)
	durMap    = cel.MapType(cel.StringType, cel.DurationType)
	anyMap    = cel.MapType(cel.StringType, cel.DynType)
	errNoRisk = errors.New("risk was not read")
	errNoUser = errors.New("nobody is signed in")
	errNoBody = errors.New("the body of this request cannot be read here")
	objects   = map[string]map[string]field{
		"user": {
			"key": reserved("key"), "realm": reserved("realm"), "provider": reserved("provider"),
			"subject": reserved("subject"), "name": reserved("name"), "display_name": reserved("display_name"),
			"email": reserved("email"),
			"groups": {strs, func(v *view) (any, error) {
				if v.f.User == nil {
					return nil, errNoUser
				}
				return v.list(&v.groups, v.f.User.Groups), nil
			}, func(v *view) bool { return v.f.User != nil }},
			"claims": {anyMap, func(v *view) (any, error) {
				if v.f.User == nil {
					return nil, errNoUser
				}
				return types.NewStringInterfaceMap(v.env.cel.CELTypeAdapter(), v.f.User.Claims), nil
			}, func(v *view) bool { return v.f.User != nil && v.f.User.Claims != nil }},
		},
		"auth": {
			"amr":        {strs, func(v *view) (any, error) { return v.list(&v.amr, v.f.AMR()), nil }, nil},
			"acr":        {cel.StringType, func(v *view) (any, error) { return types.String(v.f.ACR()), nil }, nil},
			"age":        {cel.DurationType, func(v *view) (any, error) { return types.Duration{Duration: v.age()}, nil }, nil},
			"method":     {cel.StringType, func(v *view) (any, error) { return types.String(v.login().Method), nil }, nil},
			"provider":   {cel.StringType, func(v *view) (any, error) { return types.String(v.login().Provider), nil }, nil},
			"fallback":   {cel.BoolType, func(v *view) (any, error) { return types.Bool(v.fallback()), nil }, nil},
			"factor_age": {durMap, func(v *view) (any, error) { return v.factorAges(), nil }, nil},
		},
		"risk": {
			"score":   {cel.IntType, risk(func(s int, _ []string) any { return types.Int(s) }), hasRisk},
			"level":   {cel.StringType, risk(func(s int, _ []string) any { return types.String(flows.RiskLevel(s)) }), hasRisk},
			"reasons": {strs, risk(func(_ int, why []string) any { return why }), hasRisk},
		},
		"device": {
			"known":   {cel.BoolType, func(v *view) (any, error) { return types.Bool(v.f.Device.Known), nil }, nil},
			"trusted": {cel.BoolType, func(v *view) (any, error) { return types.Bool(v.f.TrustsDevice()), nil }, nil},
		},
		// No signal of this release knows a place: unknown, as the contract spells it.
		"geo": {
			"country": {cel.StringType, func(*view) (any, error) { return types.String(""), nil }, nil},
			"city":    {cel.StringType, func(*view) (any, error) { return types.String(""), nil }, nil},
			"asn":     {cel.IntType, func(*view) (any, error) { return types.Int(0), nil }, nil},
		},
		"request": {
			"method": asked(func(r *flows.Request) string { return r.Method }),
			"host":   asked(func(r *flows.Request) string { return hostname(r.Host) }),
			"path":   asked(func(r *flows.Request) string { return r.Path }),
			"ip":     asked(func(r *flows.Request) string { return r.IP }),
			"header": {strMap, func(v *view) (any, error) { return v.header(), nil }, nil},
			"query":  {strMap, func(v *view) (any, error) { return v.query() }, nil},
			"form":   {strMap, func(v *view) (any, error) { return v.form() }, nil},
			"json":   {cel.DynType, func(v *view) (any, error) { return v.json() }, nil},
		},
		"session": {
			"age": {cel.DurationType, func(v *view) (any, error) {
				if v.f.Session == nil {
					return nil, errors.New("there is no session")
				}
				return types.Duration{Duration: max(v.f.Now.Sub(v.f.Session.Started), 0)}, nil
			}, func(v *view) bool { return v.f.Session != nil }},
		},
		"policy": {}, // its fields are the policies of an Env
	}
)

// hostname is a host without its port, as in Caddy's `host` matcher and {host}.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

func reserved(name string) field {
	f := attribute(name)
	f.typ = cel.StringType
	return f
}

// attribute is any name of the user: missing is an error, not "" (I22).
func attribute(name string) field {
	return field{
		cel.DynType,
		func(v *view) (any, error) {
			if v.f.User == nil {
				return nil, errNoUser
			}
			if a, ok := v.f.User.Attribute(name); ok {
				return a, nil
			}
			return nil, fmt.Errorf("this user has no '%s'", name)
		},
		func(v *view) bool { _, ok := v.f.User.Attribute(name); return ok },
	}
}

func asked(get func(*flows.Request) string) field {
	return field{cel.StringType, func(v *view) (any, error) { return types.String(get(v.request())), nil }, nil}
}

func hasRisk(v *view) bool { return v.f.Readings != nil }

// risk is what the signals contributed, and why.
func risk(of func(score int, reasons []string) any) func(*view) (any, error) {
	return func(v *view) (any, error) {
		if !hasRisk(v) {
			return nil, errNoRisk
		}
		reasons := []string{}
		for _, r := range v.f.Readings {
			if r.Reason != "" {
				reasons = append(reasons, string(r.Reason))
			}
		}
		slices.Sort(reasons)
		return of(flows.RiskScore(v.f.Readings), slices.Compact(reasons)), nil
	}
}

// provider teaches CEL our objects, so that an unknown field is a load error
// and a known one is fetched only when it is read.
type provider struct {
	types.Provider
	env *Env
}

const typePrefix = "identity."

func objectType(root string) *cel.Type { return cel.ObjectType(typePrefix + root) }

func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if root, ok := strings.CutPrefix(name, typePrefix); ok && objects[root] != nil {
		return types.NewTypeTypeWithParam(objectType(root)), true
	}
	return p.Provider.FindStructType(name)
}

func (p *provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	root, ok := strings.CutPrefix(name, typePrefix)
	if !ok || objects[root] == nil {
		return p.Provider.FindStructFieldType(name, fieldName)
	}
	f, ok := objects[root][fieldName]
	switch {
	case ok:
	case root == "user":
		f = attribute(fieldName)
	case root == "policy" && slices.Contains(p.env.names, fieldName):
		f = field{cel.BoolType, func(v *view) (any, error) { return v.policy(fieldName) }, nil}
	default:
		return nil, false
	}
	return &types.FieldType{
		Type: f.typ,
		GetFrom: func(target any) (any, error) {
			v, ok := target.(*view)
			if !ok {
				return nil, fmt.Errorf("not one of our objects: %T", target)
			}
			return f.get(v)
		},
		IsSet: func(target any) bool {
			v, ok := target.(*view)
			return ok && (f.has == nil || f.has(v))
		},
	}, true
}
