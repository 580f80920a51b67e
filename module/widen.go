package module

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Widen makes `/x/*` also mean `/x` where that closes more (I19): to most
// applications they are one place, and a `require` that misses the shorter form is
// a hole. What opens is never widened, except in what its `not` excludes.
func Widen(set caddy.ModuleMap, opens bool) caddy.ModuleMap {
	out := make(caddy.ModuleMap, len(set))
	for name, raw := range set {
		out[name] = raw
		switch name {
		case "path":
			if !opens {
				out[name] = widenPath(raw)
			}
		case "not":
			out[name] = widenNot(raw, opens)
		}
	}
	return out
}

func widenPath(raw json.RawMessage) json.RawMessage {
	var paths caddyhttp.MatchPath
	if json.Unmarshal(raw, &paths) != nil {
		return raw
	}
	wide := caddyhttp.MatchPath{}
	for _, path := range paths {
		wide = append(wide, path)
		short := strings.TrimSuffix(path, "/*")
		if short != path && short != "" && !slices.Contains(paths, short) {
			wide = append(wide, short)
		}
	}
	return caddyconfig.JSON(wide, nil)
}

func widenNot(raw json.RawMessage, opens bool) json.RawMessage {
	var sets []caddy.ModuleMap
	if json.Unmarshal(raw, &sets) != nil {
		return raw
	}
	for i, set := range sets {
		sets[i] = Widen(set, !opens)
	}
	return caddyconfig.JSON(sets, nil)
}
