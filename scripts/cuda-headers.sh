#!/usr/bin/env bash
# Gets the headers of cuBLASLt into build/cuda-deps, for a machine that has nvcc but not the toolkit's cuBLAS: from the
# Python package of NVIDIA (some 400 MB are downloaded, of which 1 MB is kept). Only a build needs them; a GPU machine
# that runs the backend needs the library itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'cuda-headers: %s\n' "$*"; }
fail() { printf 'cuda-headers: %s\n' "$*" >&2; exit 1; }

nvcc="${CUDACXX:-$(command -v nvcc || true)}"
[ -n "$nvcc" ] || fail 'nvcc was not found: without it the headers are of no use'
toolkit="$(dirname "$(dirname "$(readlink -f "$nvcc")")")"
for folder in "$toolkit/include" "$toolkit"/targets/*/include build/cuda-deps/nvidia/*/include; do
  if [ -e "$folder/cublasLt.h" ]; then say "cublasLt.h is in $folder"; exit 0; fi
done
case "$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')" in
  12) package=nvidia-cublas-cu12 ;;
  *) package=nvidia-cublas ;;
esac
command -v python3 > /dev/null || fail "python3 with pip is needed to download $package"
download="$(mktemp -d)"
trap 'rm -rf "$download"' EXIT
say "downloading $package"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$download" "$package" ||
  fail "$package could not be downloaded; install the CUDA toolkit's cuBLAS instead"
mkdir -p build/cuda-deps
python3 - "$download" << 'PYTHON'
import pathlib, sys, zipfile
for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall("build/cuda-deps", [name for name in archive.namelist() if "/include/" in name])
PYTHON
say "ready in $(dirname "$(find build/cuda-deps -name cublasLt.h | head -n 1)")"
