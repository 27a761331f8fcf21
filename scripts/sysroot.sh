#!/usr/bin/env bash
# Unpacks Debian packages, with what they depend on, into a folder: libraries of another processor or of another release of
# Debian to build and run against, without installing anything on this machine. Uses apt's mirrors and keys.
set -euo pipefail

usage() {
  cat <<'TEXT'
bash scripts/sysroot.sh FOLDER --arch ARCHITECTURE [--suite SUITE] PACKAGE ...
  --arch   Debian's name of the architecture: amd64, arm64
  --suite  default: the release of this machine
A folder that has these packages is left as it is.
TEXT
}
fail() { printf 'sysroot: %s\n' "$*" >&2; exit 1; }

folder='' arch='' suite='' packages=()
while [ $# -gt 0 ]; do
  case "$1" in
    --arch) arch="$2"; shift 2 ;;
    --suite) suite="$2"; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    -*) usage >&2; fail "unknown option $1" ;;
    *) if [ -z "$folder" ]; then folder="$1"; else packages+=("$1"); fi; shift ;;
  esac
done
[ -n "$folder" ] && [ -n "$arch" ] && [ "${#packages[@]}" -gt 0 ] || { usage >&2; exit 2; }
for program in apt-get dpkg-deb; do
  command -v "$program" > /dev/null || fail "$program was not found: this needs Debian"
done
# shellcheck disable=SC1091
[ -n "$suite" ] || suite="$(. /etc/os-release && echo "$VERSION_CODENAME")"

mkdir -p "$folder"
folder="$(realpath "$folder")"
stamp="$suite $arch ${packages[*]}"
if [ "$(cat "$folder/.packages" 2> /dev/null)" = "$stamp" ]; then exit 0; fi
find "$folder" -mindepth 1 -maxdepth 1 ! -name .apt -exec rm -rf {} +

# apt with lists, cache and status of its own: nothing counts as installed.
apt="$folder/.apt"
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
: > "$apt/status"
mirror="$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 debian)" || fail 'apt has no sources of Debian'
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || fail "$keys is missing: apt-get install debian-archive-keyring"
echo "deb [arch=$arch signed-by=$keys] $mirror $suite main" > "$apt/sources.list"
options=(-qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$apt" -o "Dir::State::status=$apt/status"
  -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Dir::Etc::sourcelist=$apt/sources.list"
  -o "Dir::Etc::sourceparts=$apt/parts" -o "Dir::Etc::preferencesparts=$apt/parts" -o APT::Install-Recommends=false
  -o APT::Sandbox::User=root -o Debug::NoLocking=true)
apt-get "${options[@]}" update
apt-get "${options[@]}" install --download-only --yes "${packages[@]}" > /dev/null
mkdir -p "$folder/var/lib/dpkg/info"
for archive in "$apt"/cache/archives/*.deb; do
  dpkg-deb --extract "$archive" "$folder"
  # Which package a file is from: `dpkg --search` does not know of this folder.
  dpkg-deb --fsys-tarfile "$archive" | tar --list | sed 's/^\.//' > "$folder/var/lib/dpkg/info/$(dpkg-deb --field "$archive" Package).list"
done
rm -rf "$apt"
echo "$stamp" > "$folder/.packages"
