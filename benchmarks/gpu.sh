#!/usr/bin/env bash
# All that needs a GPU, in one call, without a network and within the minutes given: GPU tests, seconds per epoch of the
# Diagonal BiLSTM, samplers, the other benchmarks, and for the time that is left one training after the other, each
# evaluated by eval.py. What such a machine's Python lacks is brought along in vendor/ (3 MB), in the project's versions:
#
#   uv export -q --no-hashes --no-emit-project | uv pip install --target vendor --no-deps --python-version 3.12 \
#     --python-platform linux -c - -e . hydra-core omegaconf antlr4-python3-runtime annotated-types cloudpickle torch-fidelity
#
#   benchmarks/gpu.sh [minutes, 9] [experiment=NAME,SETTING=…,… …]     a word for each training
#   STEPS=trainings benchmarks/gpu.sh 9 experiment=vae_mnist           some of tests,epoch,sampling,others,trainings
#   DEVICE=cpu benchmarks/gpu.sh 9                                     a rehearsal, in which GPU tests are skipped
#
# MNIST is looked for in $PMODEL_DATA_DIR, ../shared/data, shared/data and data. What was measured is in gpu.tar.gz, in
# $OUT or logs/, which is packed anew every few seconds, so that a kill at any moment loses nothing older. Unpacked in
# the project, its files are what `uv run docs/results.py` and `uv run benchmarks/run.py --only none` write pages from.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
minutes="${1:-9}" device="${DEVICE:-cuda}" out="${OUT:-logs}" kept=logs/on_gpu
steps="${STEPS:-tests,epoch,sampling,others,trainings}"
trainings=("${@:2}")
[ "${#trainings[@]}" -gt 0 ] ||
  trainings=("experiment=pixelrnn_mnist,data.binarize=static" "experiment=pixelcnn_gated_mnist")
[[ "$minutes" =~ ^[1-9][0-9]*$ ]] || { echo "error: $minutes: expected whole minutes" >&2; exit 2; }
for data in "${PMODEL_DATA_DIR:-}" ../shared/data shared/data data; do
  [ -d "$data/MNIST/raw" ] && break
done
export PYTHONPATH="src:vendor${PYTHONPATH:+:$PYTHONPATH}" PMODEL_DATA_DIR="$data" PYTHONUNBUFFERED=1
mkdir -p "$out" "$kept"
started="$kept/started" table=()
touch "$started"

pack() { # what was measured since the start
  local part="$out/.gpu.$BASHPID.part"
  find docs/benchmarks docs/results -type f -newer "$started" ! -name '*.part' -print0 |
    tar -czf "$part" --ignore-failed-read --exclude='*.ckpt' "$kept" --null -T - 2>/dev/null
  [ -s "$part" ] && mv "$part" "$out/gpu.tar.gz"
}
finish() {
  kill "$packer" 2>/dev/null
  pack
  printf '%s\n' "${table[@]}" | tee "$kept/steps.txt"
  pack
  echo "$out/gpu.tar.gz, after $SECONDS s"
}
left() { echo $((minutes * 60 - SECONDS - 15)); } # but for the last packing
row() { table+=("$(printf '%-12s %-9s %5s s  %s' "$1" "$2" "$3" "${4:-}")"); }
share() { echo $(($1 * minutes * 60 / 100)); } # of the minutes, in percent
# step NAME SECONDS COMMAND…: runs it within these seconds and what is left, whatever hangs; its output is in $kept.
step() {
  local name="$1" limit="$2" since="$SECONDS" code
  [ "$limit" -lt "$(left)" ] || limit="$(left)"
  [ "$limit" -ge 20 ] || { row "$name" skipped 0 "no time left"; return 1; }
  echo "== $name, at most $limit s"
  # To a file, not into a pipe, which a process left behind would keep open.
  timeout -k 10 "$((limit - 10))" "${@:3}" >"$kept/$name.txt" 2>&1 </dev/null
  code="$?"
  tail -n 25 "$kept/$name.txt"
  case "$code" in
    0) row "$name" "done" $((SECONDS - since)) ;;
    124 | 137) row "$name" "cut" $((SECONDS - since)) "after its $limit s; what it had measured is kept" ;;
    *) row "$name" "failed" $((SECONDS - since)) "exit code $code: $kept/$name.txt" ;;
  esac
  return "$code"
}
wanted() { [[ ",$steps," == *",$1,"* ]] || { row "$1" skipped 0 "not among STEPS"; false; }; }
benchmark() { step "$1" "$(share "$2")" python benchmarks/run.py --quick --device "$device" --data-dir "$data" --only "$1"; }

while kill -0 "$$" && sleep 15; do pack; done >/dev/null 2>&1 &
packer="$!"
trap finish EXIT

needed='import cloudpickle, hydra, lightning; __import__("importlib.metadata").metadata.version("pmodel")'
[ "$device" = cpu ] || needed+='; import torch; assert torch.cuda.is_available(), "no CUDA device"'
step start "$(share 17)" python -c "$needed" || { echo "error: pmodel can't run here, see above: is there a vendor/, a GPU?" >&2; exit 1; }
[ -d "$data/MNIST/raw" ] || echo "warning: no MNIST/raw; what needs it will fail"

wanted tests && step tests "$(share 26)" python -m pytest -o addopts=--import-mode=importlib -m gpu -v -n 6 --tb=short
wanted epoch && benchmark epoch 18
wanted sampling && benchmark sampling 16
if wanted others; then
  for name in autoregressive recurrence breakdown adversarial; do benchmark "$name" 8; done
fi
wanted trainings || trainings=()
for ((i = 0; i < ${#trainings[@]}; i++)); do
  # What is left, shared out evenly, less what a start and an evaluation take.
  seconds=$(($(left) / (${#trainings[@]} - i) - $(share 16)))
  [ "$seconds" -ge 20 ] || { row "run$i" skipped 0 "no time left for ${trainings[i]}"; continue; }
  IFS=, read -ra settings <<<"${trainings[i]}"
  run="$kept/run$i" time="$(printf '00:00:%02d:%02d' $((seconds / 60)) $((seconds % 60)))"
  rm -rf "$run"
  step "run$i" $((seconds + $(share 5))) python train.py "${settings[@]}" "trainer=${device/cuda/gpu}" "data_dir=$data" \
    "hydra.run.dir=$run" callbacks=minimal logger=csv "trainer.max_time=$time"
  [ -e "$run/checkpoints/last.ckpt" ] || continue # one that was cut has saved it
  step "eval$i" $(($(left) / (${#trainings[@]} - i))) python eval.py "run=$run" callbacks.figures=null &&
    step "results$i" 25 python docs/results.py "$run"
done
