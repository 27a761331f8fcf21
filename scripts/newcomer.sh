#!/usr/bin/env bash
# The way of a newcomer, from the tarballs of scripts/package.mjs and nothing else of this clone, on a PATH without compilers:
# install, use from ES modules and CommonJS, train on a text file, stop, resume, compare, export, load in Python. For Linux: it
# needs GNU tools (realpath -m, date +%N).
set -euo pipefail

usage() {
  cat <<'TEXT'
bash scripts/newcomer.sh [--packages FOLDER] [--chroot FOLDER] [--python PROGRAM]
  --packages  where the tarballs are; default: build/package
  --chroot    do it in this system, which debootstrap makes where the folder is missing (as root): Debian 12 with Node alone
  --python    a Python with torch, transformers and safetensors, which loads the exported model; default: $APOLLO_PYTHON;
              without one this step is skipped
TEXT
}

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
packages="$here/build/package" system='' python="${APOLLO_PYTHON:-}"
while [ $# -gt 0 ]; do
  case "$1" in
    --packages) packages="$(realpath "$2")"; shift 2 ;;
    --chroot) system="$(realpath -m "$2")"; shift 2 ;;
    --python) python="$2"; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; echo "newcomer: unknown option $1" >&2; exit 2 ;;
  esac
done
fail() { printf 'newcomer: %s\n' "$*" >&2; exit 1; }
say() { printf '\n== %s\n' "$*"; }

platform="$(node -p 'process.platform + "-" + process.arch')"
engine="$(ls -t "$packages/apollo-lm-$platform"-[0-9]*.tgz 2> /dev/null | head -n 1 || true)"
main="$(ls -t "$packages"/apollo-lm-[0-9]*.tgz 2> /dev/null | head -n 1 || true)"
[ -n "$engine" ] && [ -n "$main" ] || fail "no tarballs for $platform in $packages; make them with \"node scripts/package.mjs\""

if [ -n "$system" ]; then
  [ "$(id -u)" = 0 ] || fail '--chroot needs root'
  if [ ! -e "$system/usr/bin/dpkg" ]; then
    command -v debootstrap > /dev/null || fail 'debootstrap is missing: apt-get install debootstrap'
    say "debootstrap: Debian 12 in $system"
    debootstrap --variant=minbase --include=libstdc++6,ca-certificates bookworm "$system" > "$system.log" 2>&1 || fail "see $system.log"
  fi
  node="$(readlink -f "$(command -v node)")"
  npm="$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")"
  mkdir -p "$system/opt/node/bin" "$system/opt/packages" "$system/dev"
  cp "$node" "$system/opt/node/bin/node"
  rm -rf "$system/opt/node/npm" && cp -a "$npm" "$system/opt/node/npm"
  for name in npm npx; do ln -sf "../npm/bin/$name-cli.js" "$system/opt/node/bin/$name"; done
  cp "$engine" "$main" "$system/opt/packages/"
  cp "${BASH_SOURCE[0]}" "$system/opt/newcomer.sh"
  # How this machine reaches the registry, with the certificates that it trusts.
  for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    if [ -e "$file" ]; then mkdir -p "$system$(dirname "$file")" && cp -L "$file" "$system$file"; fi
  done
  npm_registry="$(npm config get registry)"
  for name in null urandom random; do [ -e "$system/dev/$name" ] || cp -a "/dev/$name" "$system/dev/$name"; done
  mkdir -p "$system/proc"
  mount -t proc proc "$system/proc"
  trap 'umount "$system/proc"' EXIT
  ! chroot "$system" /usr/bin/env PATH=/usr/bin:/bin sh -c 'command -v cc || command -v cmake || ls /usr/lib/*/libdnnl*' 2> /dev/null ||
    fail "$system has a compiler, CMake or oneDNN"
  chroot "$system" /usr/bin/env -i PATH=/opt/node/bin:/usr/bin:/bin HOME=/root npm_config_registry="$npm_registry" \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt npm_config_cafile=/etc/ssl/certs/ca-certificates.crt \
    bash /opt/newcomer.sh --packages /opt/packages
  exit
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/home" "$work/project"
# What npm and this script call, and no compiler.
for name in node npm npx sh env tee uname mkdir rm cat ls sleep kill grep sed date wc sort head tail dirname basename getconf ldd; do
  path="$(command -v "$name" || true)"
  if [ -n "$path" ] && [ "${path#/}" != "$path" ]; then ln -s "$path" "$work/bin/$name"; fi
done
[ -z "$python" ] || python="$(command -v "$python")"
export PATH="$work/bin" HOME="$work/home"
hash -r
for name in cc c++ g++ gcc clang cmake ninja make; do
  ! command -v "$name" > /dev/null || fail "$name is on the PATH"
done
cd "$work/project"

say 'npm install'
echo '{ "name": "newcomer", "version": "1.0.0", "private": true }' > package.json
started="$(date +%s%N)"
npm install --no-audit --no-fund --no-update-notifier --loglevel=error "$main" "$engine"
ended="$(date +%s%N)"
echo "installed in $(((ended - started) / 1000000)) ms"
count="$(npm ls --omit=dev --all --parseable | tail -n +2 | sort -u | wc -l)"
echo "$count packages"
[ "$count" -le 12 ] || fail "more than 12 packages: $(npm ls --omit=dev --all)"
! grep -q hasInstallScript node_modules/.package-lock.json || fail 'a package has an install script'
npx apollo-lm doctor --no-measure

say 'from a program: ES modules and CommonJS'
cat > first.mjs <<'JS'
import { evaluate } from 'apollo-lm/engine';
console.log(...(await evaluate((g) => g.input('x', [2]).mul(3), { x: [1, 2] })));
JS
cat > second.cjs <<'JS'
const { interpolate } = require('apollo-lm/growth');
console.log(...interpolate(2, 4));
JS
[ "$(node first.mjs)" = '3 6' ] || fail 'first.mjs: expected 3 6'
[ "$(node second.cjs)" = '0 0 1 1' ] || fail 'second.cjs: expected 0 0 1 1'
cat > third.mjs <<'JS'
import { readFileSync } from 'node:fs';
const { exports } = JSON.parse(readFileSync('node_modules/apollo-lm/package.json', 'utf8'));
const paths = Object.keys(exports).filter((path) => !path.endsWith('.json'));
for (const path of paths) {
  const names = Object.keys(await import(`apollo-lm${path.slice(1)}`));
  if (names.length === 0) throw new Error(`apollo-lm${path.slice(1)} exports nothing`);
}
console.log(`${paths.length} entry points`);
JS
node third.mjs || fail 'third.mjs: an entry point cannot be imported'

say 'train on a text file, stop, resume'
node -e "
  const book = 'node_modules/apollo-lm/data/sample/conrad-typhoon.txt.gz';
  fs.writeFileSync('mine.txt', zlib.gunzipSync(fs.readFileSync(book)));
"
train=(node_modules/.bin/apollo-lm train --data mine.txt --model gpt-nano --set model.layers=4 --set model.hidden=64 --vocab-size 512 --seq 32 --batch 8
  --steps 1000 --evaluate-every 250 --evaluation-batches 2 --out run)
"${train[@]}" --json > steps.jsonl &
child=$!
for _ in {1..600}; do
  if grep -q '"type":"step"' steps.jsonl 2> /dev/null; then break; fi
  sleep 0.1
done
grep -q '"type":"step"' steps.jsonl || fail "no step within a minute: $(tail -n 3 steps.jsonl)"
kill -TERM "$child" # a script's background jobs take no notice of SIGINT
code=0
wait "$child" || code=$?
[ "$code" = 130 ] || fail "a stopped run ended with exit code $code; expected 130"
ls run/checkpoints
"${train[@]}" --resume | tee resumed.txt
! grep -q 'step 1000 of 1000' resumed.txt || fail 'the run was not stopped'
grep -q . run/metrics.jsonl || fail 'no metrics'

say 'compare'
npx apollo-lm compare --preset smoke --out smoke
[ -s smoke/report.html ] || fail 'no report'

say 'export, generate'
npx apollo-lm export run --out exported
generated="$(npx apollo-lm generate --model exported --prompt 'It was' --max-tokens 8 --greedy)"
echo "$generated"
if [ -n "$python" ]; then
  say 'load in Python'
  GENERATED="$generated" "$python" - <<'PY'
import json, os, safetensors.torch, torch, transformers

weights = safetensors.torch.load_file("exported/model.safetensors")
model = transformers.AutoModelForCausalLM.from_pretrained("exported").eval()
state = model.state_dict()
missing = [name for name in weights if name not in state and f"transformer.{name}" not in state]
assert not missing, f"transformers has no {missing}"
tokenizer = transformers.AutoTokenizer.from_pretrained("exported")
ids = tokenizer("It was", return_tensors="pt").input_ids
with torch.no_grad():
    out = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
text = tokenizer.decode(out[0], skip_special_tokens=True)
print("transformers", transformers.__version__, "generates", json.dumps(text))
assert text.strip() in os.environ["GENERATED"], f"apollo-lm generated {os.environ['GENERATED']!r}"
PY
else
  say 'load in Python: SKIPPED, no Python was given (--python or APOLLO_PYTHON: one with torch, transformers and safetensors)'
fi
say 'all of it worked'
