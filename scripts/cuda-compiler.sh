#!/usr/bin/env bash
# Installs nvcc 13 and the headers of cuBLASLt and NCCL from NVIDIA's packages for Debian 12 (x64), for a machine that makes
# the package with the CUDA backend. Where nvcc is there already, it only gets the headers (cuda-headers.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'cuda-compiler: %s\n' "$*" >&2; exit 1; }
if ! command -v "${CUDACXX:-nvcc}" > /dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
  grep -qs 'VERSION_ID="12"' /etc/os-release && [ "$(dpkg --print-architecture)" = amd64 ] || fail 'this is for Debian 12 on x64'
  [ "$(id -u)" = 0 ] || fail 'run this as root'
  keyring="$(mktemp)"
  curl --fail --silent --show-error --location --output "$keyring" \
    https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/cuda-keyring_1.1-1_all.deb
  dpkg --install "$keyring"
  rm -f "$keyring"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cuda-nvcc-13-0 cuda-cudart-dev-13-0 libcublas-dev-13-0 libnccl-dev > /dev/null
fi
if [ -x /usr/local/cuda/bin/nvcc ] && ! command -v nvcc > /dev/null; then ln -s /usr/local/cuda/bin/nvcc /usr/local/bin/nvcc; fi
bash scripts/cuda-headers.sh
