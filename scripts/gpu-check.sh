#!/usr/bin/env bash
# Everything that only a GPU can prove, in one command: the whole suite of tests on the GPU, compute-sanitizer over it, the
# same bits twice, a training run against the CPU's curve, the speed against the machine's limits and PyTorch, and ranks on
# several GPUs.
set -uo pipefail

usage() {
  cat <<'TEXT'
bash scripts/gpu-check.sh [--tiny] [out] [part...]
  --tiny few steps and small models, to see that this script works (also on the emulator, with APOLLO_TEST_DEVICE=emulator
         and APOLLO_CUDA_LIBRARY=build/emulator/libapollo_cuda_emulated.so; for ranks APOLLO_NCCL_LIBRARY and APOLLO_NCCL
         are the same file, and APOLLO_EMULATOR_GPUS=2)
  out    folder for results and logs (default: build/gpu-check)
  part   tests, sanitizer, bits, bench, curve, ranks; default: all, in this order. Each has a time limit. ranks trains on
         all GPUs over NCCL: on a machine with one it is left out, and said so, unless it is asked for.

bash scripts/gpu-check.sh pack
  on a machine with the build: puts into .gpu/ what a GPU machine without Node and network needs besides the checkout
  (Node, system libraries, packages, engine, compiled tests and benches; some 45 MB). Where .gpu/ is found it is used.
Ends with one line a part and exits with 0 only if all hold.
TEXT
}

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD

pack() {
  set -euo pipefail
  local release=build/cmake/Release multiarch library
  [ -e "$release/libapollo_cuda.so" ] || { echo "gpu-check: no CUDA backend in $release: build it first" >&2; exit 1; }
  node scripts/test-cuda.mjs --compile
  rm -rf .gpu/lib .gpu/*.tar.xz
  mkdir -p .gpu/lib
  if [ ! -f .gpu/node.xz ]; then
    cp "$(command -v node)" .gpu/node
    strip -s .gpu/node
    xz -6 -T0 -f .gpu/node
  fi
  # What the addon is linked with, as far as it is no part of every system.
  ldd "$release/apollo.node" | awk '$3 ~ /^\// { print $3 }' |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s)\.so' | while read -r library; do
      cp -L "$library" .gpu/lib/
    done
  tar -cJf .gpu/lib.tar.xz -C .gpu lib
  rm -r .gpu/lib
  tar -cJf .gpu/build.tar.xz "$release"/apollo.node "$release"/libapollo_cuda.so \
    $(ls "$release"/libapollo_nccl.so 2> /dev/null) build/test-cuda dist
  npm ls --omit=dev --parseable --all 2> /dev/null | tail -n +2 | sed "s|^$root/||" |
    grep -vE '^node_modules/(cmake-js|node-gyp|npm)(/|$)' > .gpu/modules.txt
  tar -cJf .gpu/node_modules.tar.xz -T .gpu/modules.txt
  rm .gpu/modules.txt
  du -sh .gpu
}

# Puts Node, libraries, packages and the build in place where .gpu/ brought them.
unpack() {
  [ -d .gpu ] || return 0
  local home=/tmp/apollo-gpu
  if [ ! -x "$home/bin/node" ]; then
    mkdir -p "$home/bin"
    xz -dc .gpu/node.xz > "$home/bin/node" && chmod +x "$home/bin/node"
    tar -C "$home" -xJf .gpu/lib.tar.xz
  fi
  tar -xJf .gpu/build.tar.xz
  [ -d node_modules ] || tar -xJf .gpu/node_modules.tar.xz
  export PATH="$home/bin:$PATH" LD_LIBRARY_PATH="$home/lib:${LD_LIBRARY_PATH:-}"
}

# The toolkit's cuBLASLt, or the one that PyTorch brings.
find_cublas() {
  [ -z "${APOLLO_CUBLASLT:-}" ] || return 0
  local python folder found
  ldconfig -p 2> /dev/null | grep -q 'libcublasLt.so.1[23]' && return 0
  for python in "${APOLLO_PYTHON:-}" python3; do
    [ -n "$python" ] || continue
    folder=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2> /dev/null) || continue
    found=$(find -L "$folder/nvidia" /usr/local/cuda -name 'libcublasLt.so.1[23]' 2> /dev/null | head -n 1)
    [ -n "$found" ] && export APOLLO_CUBLASLT="$found" && return 0
  done
}

# NCCL of the system, or the one that PyTorch brings. Only ranks need it.
find_nccl() {
  [ -z "${APOLLO_NCCL:-}" ] || return 0
  local python folder found
  ldconfig -p 2> /dev/null | grep -q 'libnccl.so.2' && return 0
  for python in "${APOLLO_PYTHON:-}" python3; do
    [ -n "$python" ] || continue
    folder=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2> /dev/null) || continue
    found=$(find -L "$folder/nvidia" /usr/local/cuda -name 'libnccl.so.2' 2> /dev/null | head -n 1)
    [ -n "$found" ] && export APOLLO_NCCL="$found" && return 0
  done
  return 0
}

case "${1:-}" in
  -h | --help) usage; exit 0 ;;
  pack) pack; exit 0 ;;
esac
tiny=0
if [ "${1:-}" = --tiny ]; then tiny=1 && shift; fi
out=${1:-build/gpu-check}
shift || true
parts=("$@")
all=0
[ "${#parts[@]}" -gt 0 ] || { all=1 && parts=(tests sanitizer bits bench curve ranks); }
mkdir -p "$out"
out=$(cd "$out" && pwd)
unpack
find_cublas
find_nccl
command -v node > /dev/null || { echo 'gpu-check: no Node, and no .gpu/ that brings one' >&2; exit 1; }
compiled=build/test-cuda
[ -e dist/index.js ] || { echo 'gpu-check: nothing is built here: bash scripts/setup.sh' >&2; exit 1; }
[ -d "$compiled" ] || node scripts/test-cuda.mjs --compile || exit 1
if [ "${APOLLO_TEST_DEVICE:=cuda}" = cuda ]; then
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv,noheader | tee "$out/gpu.txt" || exit 1
fi
export APOLLO_TEST_DEVICE
echo "node $(node --version), cuBLASLt ${APOLLO_CUBLASLT:-of the system}"

summary=()
failed=0
note() {
  summary+=("$1")
  [ "$2" = 0 ] || failed=1
}

run_tests() {
  timeout "${APOLLO_GPU_TEST_SECONDS:-240}" node scripts/test-cuda.mjs 2>&1 | tee "$out/tests.log" | tail -n 60
  local status=${PIPESTATUS[0]}
  note "tests: $(tail -n 1 "$out/tests.log")" "$status"
}

# initcheck must see the writes of cuBLAS; the others look at this project's kernels only, which are in namespace apollo.
# A tool that cannot run on this machine is said so, and counts as failed: nothing was shown.
run_sanitizer() {
  local tool status log filter
  if ! command -v compute-sanitizer > /dev/null; then
    note 'sanitizer: NOT RUN, compute-sanitizer is not installed' 1
    return
  fi
  for tool in memcheck racecheck synccheck initcheck; do
    log=$out/sanitizer-$tool.log
    filter=(--kernel-name kernel_substring=apollo)
    if [ "$tool" = initcheck ]; then filter=(); fi
    for file in engine/ops cuda/attention cuda/elementwise cuda/embedding cuda/fusion cuda/head cuda/matmul cuda/norm cuda/optimizer \
      cuda/reduce cuda/shape cuda/softmax; do
      timeout "${APOLLO_GPU_SANITIZER_SECONDS:-100}" \
        compute-sanitizer --tool "$tool" --error-exitcode 99 --print-limit 20 ${filter[@]+"${filter[@]}"} \
        node "$compiled/test/$file.test.js" > "$log.part" 2>&1
      status=$?
      { echo "== $file: exit $status"; cat "$log.part"; } >> "$log"
      note "sanitizer $tool, $file: $(grep -E 'SUMMARY' "$log.part" | tail -n 1) $([ "$status" = 0 ] || echo "exit code $status")" "$status"
    done
    rm -f "$log.part"
  done
}

# Two whole runs and one killed and resumed: all weights and moments equal, bit for bit.
run_bits() {
  local run=(--steps 200)
  if [ "$tiny" = 1 ]; then
    run=(--steps 8 -- --vocab-size 512 --batch 1 --seq 16 --learning-rate 1e-2 --evaluation-batches 1 --set model.layers=2 model.hidden=64)
    run+=(model.heads=1 model.ffn=256 model.dropout=0)
  fi
  timeout 200 node "$compiled/bench/reproduce/main.js" --device cuda --data data/sample/conrad-typhoon.txt.gz "${run[@]}" 2>&1 |
    tee "$out/bits.log" | tail -n 8
  local status=${PIPESTATUS[0]}
  note "same bits: $(grep -oE 'the same bits|DIFFERENT' "$out/bits.log" | sort | uniq -c | paste -sd, | xargs || true)" "$status"
}

run_curve() {
  local run=(--steps 2000)
  if [ "$tiny" = 1 ]; then run=(--tiny --steps 20 --window 5); fi
  timeout "${APOLLO_GPU_CURVE_SECONDS:-400}" node "$compiled/bench/curve/main.js" "${run[@]}" --out "$out" 2>&1 |
    tee "$out/curve.log" | tail -n 8
  local status=${PIPESTATUS[0]}
  note "curve: $(grep -E '^difference' "$out/curve.log" || echo 'did not end')" "$status"
}

run_bench() {
  local run=()
  if [ "$tiny" = 1 ]; then run=(--tiny); fi
  timeout "${APOLLO_GPU_BENCH_SECONDS:-540}" node "$compiled/bench/gpu/main.js" ${run[@]+"${run[@]}"} --out "$out" 2>&1 | tee "$out/bench.log"
  note "bench: figures in $out" "${PIPESTATUS[0]}"
}

# Ranks on one GPU are refused by NCCL.
run_ranks() {
  local run=() count
  if [ "$APOLLO_TEST_DEVICE" = cuda ]; then
    count=$(wc -l < "$out/gpu.txt")
    if [ "$count" -lt 2 ] && [ "$all" = 1 ]; then
      note "ranks: left out, this machine has $count GPU" 0
      return
    fi
  fi
  if [ "$tiny" = 1 ]; then run=(--tiny); fi
  timeout "${APOLLO_GPU_RANKS_SECONDS:-400}" node "$compiled/bench/gpu/ranks.js" ${run[@]+"${run[@]}"} --out "$out" 2>&1 |
    tee "$out/ranks.log"
  local status=${PIPESTATUS[0]}
  note "ranks: $(grep -cE '^ok: ' "$out/ranks.log" || true) of $(grep -cE '^(NOT OK|ok): ' "$out/ranks.log" || true) hold; figures in $out" "$status"
}

for part in "${parts[@]}"; do
  echo
  echo "== $part"
  case "$part" in
    tests | sanitizer | bits | bench | curve | ranks) "run_$part" ;;
    *) echo "gpu-check: there is no part '$part'" >&2; failed=1 ;;
  esac
done
echo
printf '%s\n' ${summary[@]+"${summary[@]}"} | tee "$out/summary.txt"
exit "$failed"
