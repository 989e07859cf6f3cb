#!/usr/bin/env bash
# Checks and measures everything that needs a GPU, on one H100 or H200, in at most eight minutes.
# Usage: tests/bench/gpu_check.sh [--dry-run] [--out FILE.json]; PYTHON names the interpreter to use.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; fi
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false
exec timeout --kill-after=10 490 "$PYTHON" -m tests.bench.gpu_check "$@"
