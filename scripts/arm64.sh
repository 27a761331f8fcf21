#!/usr/bin/env bash
# The linux-arm64 package on a Linux of another processor: cross-builds it, checks it, and runs the tests of ops, engine and
# parity and the smoke comparison on it with an arm64 Node under QEMU. Parts of test files' names as arguments run only these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'arm64: %s\n' "$*" >&2; exit 1; }
missing=()
command -v aarch64-linux-gnu-g++ > /dev/null || missing+=(g++-aarch64-linux-gnu)
command -v qemu-aarch64-static > /dev/null || missing+=(qemu-user-static)
for name in cmake ninja; do
  if ! command -v "$name" > /dev/null; then missing+=("${name/ninja/ninja-build}"); fi
done
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get > /dev/null || fail "this needs the packages of Debian: ${missing[*]}"
  if [ "$(id -u)" != 0 ] || [ "${CI:-}" != true ]; then fail "install first: apt-get install ${missing[*]}"; fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
node scripts/installed.mjs || npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
node scripts/package.mjs --target linux-arm64
node scripts/test-package.mjs --target linux-arm64 "$@"
