#!/usr/bin/env bash
# Builds the engine with oneDNN 3 and the Highway of Debian 13 on an older Debian, and runs the tests of ops, engine, parity
# and training on it, with Debian 13's C library. Nothing of this is installed: all lies in build/.
#
#   bash scripts/onednn3.sh [NAME ...]     parts of test files to run
#
# Another oneDNN, wherever it is: APOLLO_CMAKE_ARGS=-DCMAKE_PREFIX_PATH=/opt/onednn npx apollo-lm build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# APOLLO_CMAKE_ARGS is split at blanks.
case "$PWD" in *[[:space:]]*) echo "onednn3: this needs a clone in a path without blanks; got $PWD" >&2; exit 1 ;; esac
libraries="$PWD/build/sysroot/onednn3"
bash scripts/sysroot.sh "$libraries" --arch "$(dpkg --print-architecture)" --suite trixie libdnnl-dev libhwy-dev libgomp1 libstdc++6
grep -q 'VERSION_MAJOR 3' "$libraries/usr/include/oneapi/dnnl/dnnl_version.h" || { echo 'onednn3: this is not oneDNN 3' >&2; exit 1; }
APOLLO_BUILD=cmake APOLLO_BUILD_FOLDER=build/onednn3 \
  APOLLO_CMAKE_ARGS="-DAPOLLO_WITH_CUDA=OFF -DAPOLLO_WITH_MPI=OFF -DAPOLLO_WERROR=ON -DCMAKE_PREFIX_PATH=$libraries/usr" \
  node scripts/build-native.mjs
[ -d dist ] || npm run --silent build:ts
node scripts/test-package.mjs --engine build/onednn3/Release --sysroot "$libraries" "$@"
