#!/usr/bin/env bash
# All that needs a GPU, in one call and without a network: the gpu tests, the benchmarks on the GPU, and, for the minutes
# that are left, one experiment after the other, trained and judged.
#   benchmarks/gpu.sh [minutes, 9] [experiment=NAME … …]    (a word for each training, its settings joined by commas)
# Leaves one archive, gpu.tar.gz, in $OUT or logs/: unpacked in the project, its files are what
# `uv run docs/results.py` and `uv run benchmarks/run.py --only none` write their pages from. MNIST is looked for in
# $PMODEL_DATA_DIR or data/.
set -uo pipefail
cd "$(dirname "$0")/.."
minutes="${1:-9}" out="${OUT:-logs}" data="${PMODEL_DATA_DIR:-data}"
trainings=("${@:2}")
[ "${#trainings[@]}" -gt 0 ] || trainings=(experiment=pixelrnn_mnist,data.binarize=static experiment=pixelcnn_gated_mnist)
mkdir -p "$out" logs/on_gpu
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" PMODEL_DATA_DIR="$data"
left() { echo $((minutes * 60 - SECONDS)); }

timeout 150 python -m pytest -m gpu -q 2>&1 | tee logs/on_gpu/tests.txt
timeout 180 python benchmarks/run.py --quick --device cuda --data-dir "$data" 2>&1 | tee logs/on_gpu/benchmarks.txt
runs=()
for ((i = 0; i < ${#trainings[@]}; i++)); do
  # What is left, shared out evenly, less what an evaluation takes.
  seconds=$(($(left) / (${#trainings[@]} - i) - 40))
  [ "$seconds" -gt 30 ] || break
  IFS=, read -ra settings <<<"${trainings[i]}"
  run="logs/on_gpu/run$i"
  rm -rf "$run"
  python train.py "${settings[@]}" trainer=gpu "data_dir=$data" "hydra.run.dir=$run" callbacks=minimal logger=csv \
    "trainer.max_time=00:00:$(printf '%02d:%02d' $((seconds / 60)) $((seconds % 60)))" 2>&1 | tee "logs/on_gpu/run$i.txt"
  timeout 60 python eval.py "run=$run" callbacks.figures=null && runs+=("$run")
done
[ "${#runs[@]}" -eq 0 ] || python docs/results.py "${runs[@]}"
tar -czf "$out/gpu.tar.gz" --exclude=last.ckpt docs/results docs/benchmarks docs/results.md docs/benchmarks.md logs/on_gpu
