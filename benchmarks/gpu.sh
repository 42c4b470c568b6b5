#!/usr/bin/env bash
# All that needs a GPU, in one call and without a network: the gpu tests, the benchmarks on the GPU, and, for the minutes
# that are left, one experiment after the other, trained and judged.
#   benchmarks/gpu.sh [minutes, 9] [experiment=NAME … …]    (a word for each training, its settings joined by commas)
# Leaves one archive, gpu.tar.gz, in $OUT or logs/: unpacked in the project, its files are what
# `uv run docs/results.py` and `uv run benchmarks/run.py --only none` write their pages from. MNIST is looked for in
# $PMODEL_DATA_DIR or data/. What such a machine's Python lacks can be brought along in vendor/:
#   uv pip install --target vendor --no-deps . hydra-core omegaconf 'antlr4-python3-runtime==4.9.*' torch-fidelity
set -uo pipefail
cd "$(dirname "$0")/.."
minutes="${1:-9}" out="${OUT:-logs}" data="${PMODEL_DATA_DIR:-data}"
trainings=("${@:2}")
[ "${#trainings[@]}" -gt 0 ] || trainings=(experiment=pixelrnn_mnist,data.binarize=static experiment=pixelcnn_gated_mnist)
export PYTHONPATH="src:vendor${PYTHONPATH:+:$PYTHONPATH}" PMODEL_DATA_DIR="$data"
missing="$(python -c 'import hydra, lightning, torch_fidelity; __import__("importlib.metadata").metadata.version("pmodel")' 2>&1)" ||
  { echo "error: this Python can't run pmodel (${missing##*$'\n'}): bring vendor/ along, as $0 says" >&2; exit 1; }
mkdir -p "$out" logs/on_gpu
left() { echo $((minutes * 60 - SECONDS)); }
# However this ends; no weights: where files are brought back, large ones often are not.
bring_back() {
  python benchmarks/run.py --only none
  [ "${#runs[@]}" -eq 0 ] || python docs/results.py "${runs[@]}"
  tar -czf "$out/gpu.tar.gz" --exclude='*.ckpt' docs/results docs/benchmarks docs/results.md docs/benchmarks.md logs/on_gpu
}
runs=()
trap bring_back EXIT

timeout 100 python -m pytest -m gpu -q --continue-on-collection-errors 2>&1 | tee logs/on_gpu/tests.txt
timeout 180 python benchmarks/run.py --quick --device cuda --data-dir "$data" \
  --only autoregressive,recurrence,adversarial,breakdown,sampling 2>&1 | tee logs/on_gpu/benchmarks.txt
for ((i = 0; i < ${#trainings[@]}; i++)); do
  # What is left, shared out evenly, less what a start and an evaluation take.
  seconds=$(($(left) / (${#trainings[@]} - i) - 60))
  [ "$seconds" -gt 30 ] || break
  IFS=, read -ra settings <<<"${trainings[i]}"
  run="logs/on_gpu/run$i"
  rm -rf "$run"
  timeout $((seconds + 45)) python train.py "${settings[@]}" trainer=gpu "data_dir=$data" "hydra.run.dir=$run" \
    callbacks=minimal logger=csv "trainer.max_time=00:00:$(printf '%02d:%02d' $((seconds / 60)) $((seconds % 60)))" \
    2>&1 | tee "logs/on_gpu/run$i.txt"
  timeout 60 python eval.py "run=$run" callbacks.figures=null && runs+=("$run")
done
