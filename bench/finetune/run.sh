#!/usr/bin/env bash
# Pre-trains a BERT of 3 layers x 128 on text and fine-tunes it on four tasks of GLUE, three seeds each, beside untrained weights and
# the majority class: the figures of docs/results.md. About three hours on two cores with bf16; the same command resumes where it
# was stopped.
set -euo pipefail

if [ $# -lt 3 ]; then
  echo 'bash bench/finetune/run.sh GLUE OUT TEXT...   (GLUE: the folder of the tasks; TEXT: files or folders, 300 MB of them)' >&2
  exit 2
fi
glue="$1" out="$2"
shift 2
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
apollo() { node "$root/dist/cli/main.js" "$@"; }

# part NAME SEQ BATCH STEPS SEED [OPTION...]: one part of the pre-training, with its own warm-up and decay.
part() {
  local name="$1" seq="$2" batch="$3" steps="$4" seed="$5"
  shift 5
  if [ -f "$out/$name/settings.json" ]; then
    apollo train --resume --out "$out/$name"
  else
    apollo train --method scratch --seq "$seq" --batch "$batch" --steps "$steps" --learning-rate 1e-3 --seed "$seed" --threads 1 \
      --checkpoint-every 2000 --set model.dropout=0 model.attentionDropout=0 "$@" --out "$out/$name"
  fi
}

# Short sequences first: with them a post-norm BERT leaves its early plateau within a thousand steps.
part 1-seq16 16 64 12000 42 --data "$@" --model bert-nano --evaluate-every 1000 \
  --set model.layers=3 model.heads=4 model.maxPositions=128 model.initStd=0.05
part 2-seq64 64 16 20000 43 --data "$@" --init "$out/1-seq16" --warmup 0.03 --evaluate-every 2000
part 3-seq128 128 16 20000 44 --data "$@" --init "$out/2-seq64" --warmup 0.03 --evaluate-every 2000
part 4-seq128 128 16 22000 45 --data "$@" --init "$out/3-seq128" --warmup 0.03 --evaluate-every 2000

for task in mrpc stsb cola sst2; do
  epochs=6
  if [ "$task" = sst2 ]; then epochs=3; fi
  apollo finetune --task "$task" --data "$glue" --model "$out/4-seq128" --max-length 128 --epochs "$epochs" --learning-rate 3e-4 --seed 42 \
    --seeds 3 --from-scratch --threads 1 --out "$out/$task"
done
