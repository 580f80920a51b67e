#!/bin/bash
# Installs the real parts that the tests of the examples talk to: Debian packages
# when this is Debian and we are root, npm packages into a cache folder outside
# of the tree. What cannot be had is named at the end; the script fails only
# with CI=true.
set -euo pipefail

# npm package → version
declare -A modules=([oidc-provider]=9.13.3 [smtp-server]=3.21.6 [axe-core]=4.14.1)
cache=${SALLYPORT_PARTS:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport-parts}
missing=()

# command or file → Debian package
declare -A packages=(
	[/usr/bin/radicale]=radicale
	[/usr/share/tomcat10/bin/catalina.sh]=tomcat10
	[/usr/share/icingaweb2/public/index.php]="icingaweb2 php-xml php-intl php-mbstring"
	[/usr/share/simplesamlphp/www/index.php]="simplesamlphp php-xml php-mbstring"
	[php]=php-cli
	[php-cgi]=php-cgi
	[/usr/sbin/slapd]=slapd
	[/usr/lib/postgresql]=postgresql
	[/usr/sbin/mariadbd]=mariadb-server-core
	[chromium]=chromium
	[node]=nodejs
	[npm]=npm
)

present() { [ -e "$1" ] || command -v "$1" >/dev/null 2>&1; }

wanted=()
for part in "${!packages[@]}"; do
	present "$part" || wanted+=(${packages[$part]})
done
if [ ${#wanted[@]} -gt 0 ] && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
	echo "parts: apt-get install ${wanted[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# A package must not start its service on its own port.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		trap 'rm -f "$policy"' EXIT
	fi
	timeout 300 apt-get update -qq || true
	timeout 600 apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null || true
fi
for part in "${!packages[@]}"; do
	present "$part" || missing+=("$part (apt-get install ${packages[$part]})")
done

npm="$cache/npm"
for module in "${!modules[@]}"; do
	version=${modules[$module]}
	package="$npm/node_modules/$module/package.json"
	if ! grep -qs "\"version\": \"$version\"" "$package" && command -v npm >/dev/null 2>&1; then
		echo "parts: npm install $module@$version into $npm"
		mkdir -p "$npm"
		[ -s "$npm/package.json" ] || echo '{"private":true,"type":"module"}' >"$npm/package.json"
		(cd "$npm" && timeout 300 npm install --no-audit --no-fund --silent "$module@$version") || true
	fi
	[ -e "$package" ] || missing+=("$module (npm install $module@$version)")
done

if [ ${#missing[@]} -gt 0 ]; then
	printf 'parts: missing, its tests will be skipped: %s\n' "${missing[@]}"
	[ "${CI:-}" != true ] || exit 1
fi
