#!/bin/bash
# Installs the real parts that the tests of the examples talk to: Debian packages
# when this is Debian and we are root, npm packages into a cache folder outside
# of the tree. What cannot be had is named at the end; the script fails only
# with CI=true.
set -euo pipefail

# npm package → version
# Debian 12 has node 18, on which oidc-provider does not run.
declare -A modules=([node]=22.23.3 [oidc-provider]=9.13.3 [smtp-server]=3.21.6 [axe-core]=4.14.1)
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
	[/usr/sbin/mariadbd]="mariadb-server-core mariadb-client-core"
	[/usr/sbin/krb5kdc]=krb5-kdc
	[/usr/sbin/kadmin.local]=krb5-admin-server
	[kinit]=krb5-user
	[curl]=curl
	[/usr/sbin/samba]="samba samba-ad-provision samba-dsdb-modules samba-vfs-modules"
	[chromium]=chromium
	[node]=nodejs
	[npm]=npm
)

present() { [ -e "$1" ] || command -v "$1" >/dev/null 2>&1; }

# installed asks whether Debian has all packages of a part that it brings as a file: an
# interrupted installation may have left one of them. A command may come from elsewhere.
installed() {
	[[ $1 != /* ]] || ! command -v dpkg-query >/dev/null 2>&1 ||
		[ "$(dpkg-query -W -f '${db:Status-Status}\n' ${packages[$1]} 2>/dev/null | grep -cx installed)" = "$(wc -w <<<"${packages[$1]}")" ]
}

wanted=()
for part in "${!packages[@]}"; do
	{ present "$part" && installed "$part"; } || wanted+=(${packages[$part]})
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
	begin=$SECONDS
	log=$(mktemp)
	# A fresh Debian takes 700 packages: a sync after each file would be minutes. If
	# an installation was interrupted, --configure and -f go on with it.
	timeout 600 dpkg --configure -a --force-unsafe-io >"$log" 2>&1 || true
	if ! timeout 1800 apt-get install -f -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
		-o DPkg::Options::=--force-unsafe-io "${wanted[@]}" >>"$log" 2>&1; then
		echo "parts: apt-get failed:"
		tail -n 20 "$log"
	fi
	rm -f "$log"
	echo "parts: apt-get took $((SECONDS - begin)) s"
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
