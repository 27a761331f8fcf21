#!/usr/bin/env bash
# Gets the headers of cuBLASLt and NCCL into build/cuda-deps, for a machine that has nvcc but not these libraries: from the
# Python packages of NVIDIA (some 400 and 200 MB are downloaded, of which 1 MB each is kept). Only a build needs them; a GPU
# machine that runs the backend needs the libraries themselves. Fails without cuBLASLt's: without NCCL's only the exchange
# between GPUs is left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'cuda-headers: %s\n' "$*"; }
fail() { printf 'cuda-headers: %s\n' "$*" >&2; exit 1; }

nvcc="${CUDACXX:-$(command -v nvcc || true)}"
[ -n "$nvcc" ] || fail 'nvcc was not found: without it the headers are of no use'
toolkit="$(dirname "$(dirname "$(readlink -f "$nvcc")")")"
cuda="$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')"

# header HEADER PACKAGE: finds it, or takes it from the package.
header() {
  local header=$1 package=$2 folder download
  for folder in "$toolkit/include" "$toolkit"/targets/*/include /usr/include build/cuda-deps/nvidia/*/include; do
    if [ -e "$folder/$header" ]; then say "$header is in $folder"; return 0; fi
  done
  command -v python3 > /dev/null || { say "python3 with pip is needed to download $package"; return 1; }
  download="$(mktemp -d)"
  say "downloading $package"
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$download" "$package"; then
    rm -rf "$download"
    say "$package could not be downloaded; install the library with its headers instead"
    return 1
  fi
  mkdir -p build/cuda-deps
  python3 - "$download" << 'PYTHON'
import pathlib, sys, zipfile
for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall("build/cuda-deps", [name for name in archive.namelist() if "/include/" in name])
PYTHON
  rm -rf "$download"
  say "ready in $(dirname "$(find build/cuda-deps -name "$header" | head -n 1)")"
}

case "$cuda" in
  12) cublas=nvidia-cublas-cu12 nccl=nvidia-nccl-cu12 ;;
  *) cublas=nvidia-cublas nccl=nvidia-nccl-cu13 ;;
esac
header cublasLt.h "$cublas" || fail 'no headers of cuBLASLt'
header nccl.h "$nccl" || say 'no header of NCCL: training on several GPUs will not be built'
