#!/usr/bin/env bash
# What can be said on a machine with a GPU alone: the gpu tests, then the benchmarks that take --device. Under ten minutes.
#   benchmarks/on_gpu.sh [folder for the results]
set -uo pipefail
cd "$(dirname "$0")/.."
out="${1:-${OUT:-logs}}"
mkdir -p "$out"
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}"
python -m pytest -m gpu -q 2>&1 | tee "$out/gpu_tests.txt"
for name in recurrence sampling adversarial; do
  timeout 200 python "benchmarks/$name.py" --quick --device cuda --json "$out/$name.json" 2>&1 | tee "$out/$name.txt"
done
