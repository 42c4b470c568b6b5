#!/usr/bin/env bash
# Trains an experiment on a GPU for so many minutes and brings back its results, curves, pictures and best weights.
#   benchmarks/train_on_gpu.sh pixelrnn_mnist 9 [folder for the results] [further settings]
set -uo pipefail
cd "$(dirname "$0")/.."
experiment="$1" minutes="$2" out="${3:-${OUT:-logs}}"
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}"
run="logs/on_gpu/$experiment"
rm -rf "$run"
python train.py "experiment=$experiment" trainer=gpu "trainer.max_time=00:00:$(printf %02d "$minutes"):00" \
  "hydra.run.dir=$run" "${@:4}" 2>&1 | tee "$out/$experiment.log"
tar -czf "$out/$experiment.tar.gz" -C "$run" --exclude=last.ckpt --exclude=tensorboard .
