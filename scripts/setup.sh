#!/usr/bin/env bash
# Makes a clone ready to use: system packages (compiler, CMake, Ninja, oneDNN, Highway), npm packages, the native engine
# and the TypeScript build. What is there is left alone, so a second run takes a few seconds.
set -euo pipefail

usage() {
  cat <<'TEXT'
bash scripts/setup.sh [--check] [--yes] [--no-system]
  --check      also install the linters (clang-format, cppcheck), Chromium for the tests of pages, Open MPI and MPICH for
               those of ranks where apt has them, and, where nvcc is, the headers of cuBLASLt
  --yes        install system packages without asking
  --no-system  never install system packages; say what is missing and stop
Asks before it uses sudo, unless it runs as root or with CI=true.
TEXT
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
want_linters=0 assume_yes=0 no_system=0
for argument in "$@"; do
  case "$argument" in
    --check) want_linters=1 ;;
    --yes | -y) assume_yes=1 ;;
    --no-system) no_system=1 ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; echo "setup: unknown option $argument" >&2; exit 2 ;;
  esac
done
if [ "${CI:-}" = true ] || [ "$(id -u)" = 0 ]; then assume_yes=1; fi

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" > /dev/null 2>&1; }

# --- Node ---
has node || fail 'Node.js 20.19 or newer is needed and "node" was not found; see https://nodejs.org/en/download'
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  fail "Node.js 20.19 or newer is needed; $(node --version) was found"
has npm || fail 'npm was not found; it comes with Node.js (some distributions package it as "npm")'

# --- system packages ---
compiler() {
  local name
  for name in "${CXX:-}" c++ g++ clang++; do
    if [ -n "$name" ] && has "$name"; then echo "$name"; return; fi
  done
}
# Whether the compiler finds a header, without compiling it. Homebrew's folder is not on every compiler's path.
has_header() {
  local cxx brew_include=''
  cxx="$(compiler)"
  [ -n "$cxx" ] || return 1
  if has brew; then brew_include="-I$(brew --prefix)/include"; fi
  # shellcheck disable=SC2086
  printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "$1" | "$cxx" $brew_include -E -x c++ - > /dev/null 2>&1
}
missing=()
find_missing() {
  missing=()
  [ -n "$(compiler)" ] || missing+=(compiler)
  has cmake || missing+=(cmake)
  has ninja || missing+=(ninja)
  has_header oneapi/dnnl/dnnl.hpp || missing+=(onednn)
  has_header hwy/highway.h || missing+=(highway)
  if [ "$want_linters" = 1 ]; then
    has clang-format || missing+=(clang-format)
    has cppcheck || missing+=(cppcheck)
  fi
}
# The name of one missing thing in the package manager at hand.
package_of() {
  case "$manager:$1" in
    apt-get:compiler) echo build-essential ;;
    apt-get:ninja) echo ninja-build ;;
    apt-get:onednn) echo libdnnl-dev ;;
    apt-get:highway) echo libhwy-dev ;;
    dnf:compiler) echo gcc-c++ ;;
    dnf:ninja) echo ninja-build ;;
    dnf:onednn) echo onednn-devel ;;
    dnf:highway) echo highway-devel ;;
    dnf:clang-format) echo clang-tools-extra ;;
    brew:compiler) echo llvm ;;
    *) echo "$1" ;;
  esac
}
find_missing
if [ "${#missing[@]}" -gt 0 ]; then
  manager=''
  for name in apt-get dnf brew; do
    if has "$name"; then manager="$name"; break; fi
  done
  [ -n "$manager" ] || fail "missing: ${missing[*]}. No apt-get, dnf or brew here: install them by hand, then run this again"
  packages=()
  for name in "${missing[@]}"; do packages+=("$(package_of "$name")"); done
  if [ "$manager" = brew ] && [ "$(uname)" = Darwin ]; then packages+=(libomp); fi
  root=''
  if [ "$manager" != brew ] && [ "$(id -u)" != 0 ]; then root='sudo '; fi
  command_line="${root}${manager} install $([ "$manager" = brew ] || echo '-y ')${packages[*]}"
  say "missing: ${missing[*]}"
  [ "$no_system" = 0 ] || fail "install them with: $command_line"
  [ -z "$root" ] || has sudo || fail "not root and no sudo here; as root, run: ${command_line#sudo }"
  if [ "$assume_yes" = 0 ]; then
    [ -t 0 ] || fail "install them with: $command_line (or run this with --yes)"
    read -r -p "setup: run \"$command_line\"? [y/N] " answer
    case "$answer" in y | Y | yes) ;; *) fail 'nothing was installed' ;; esac
  fi
  say "$command_line"
  export DEBIAN_FRONTEND=noninteractive
  if [ "$manager" = apt-get ]; then ${root}apt-get update -qq || say 'apt-get update failed; trying with the lists at hand'; fi
  # shellcheck disable=SC2086
  $command_line > /tmp/apollo-setup-$$.log 2>&1 || { tail -n 20 /tmp/apollo-setup-$$.log >&2; fail "failed: $command_line"; }
  rm -f "/tmp/apollo-setup-$$.log"
  find_missing
  [ "${#missing[@]}" = 0 ] || fail "still missing after the installation: ${missing[*]}"
fi

# --- npm packages: skipped when the installed tree is what package-lock.json says ---
if node scripts/installed.mjs; then
  say 'npm packages are up to date'
else
  say 'installing npm packages'
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
fi

# --- what some tests take and skip without: a browser for pages, MPI for ranks ---
# optional WHAT PACKAGE...: installs packages with apt where that needs no question.
optional() {
  local what="$1" root=''
  shift
  if [ "$want_linters" = 0 ] || ! has apt-get || [ "$assume_yes" = 0 ] || [ "$no_system" = 1 ]; then return 0; fi
  if [ "$(id -u)" != 0 ]; then root='sudo '; fi
  say "${root}apt-get install -y $*"
  export DEBIAN_FRONTEND=noninteractive
  { ${root}apt-get update -qq && ${root}apt-get install -y -qq "$@"; } > /dev/null 2>&1 || say "no $what will be skipped"
}
has_browser() {
  local name
  for name in "${APOLLO_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable chrome; do
    if [ -n "$name" ] && has "$name"; then return 0; fi
  done
  return 1
}
has_browser || optional 'Chromium: the tests of pages' chromium
has mpicxx || optional 'MPI: the tests of ranks' libopenmpi-dev openmpi-bin
has mpicxx.mpich || optional 'MPICH: its test of ranks' libmpich-dev mpich

# --- the headers without which the CUDA backend is not built ---
if [ "$want_linters" = 1 ] && { [ -n "${CUDACXX:-}" ] || has nvcc; }; then
  bash scripts/cuda-headers.sh || say 'the CUDA backend will not be built'
fi

# --- native engine (ninja does nothing when nothing changed), then TypeScript ---
node scripts/build-native.mjs
npm run --silent build:ts
say 'ready: "npm test" runs the tests, "npm start" compares Apollo with training from scratch on the sample text'
