#!/usr/bin/env bash
# What the RayJob runs: a sweep, which goes on where an attempt before was cut off.   sweep.sh SPACE.yaml RUN_DIR [--set key=value ...]
set -euo pipefail
cd "$(dirname "$0")/../.."

space=$1 run_dir=$2
shift 2
resume=()
if [ -e "$run_dir/config.yaml" ]; then
    resume=(--resume)
fi
exec python jobs/sweep.py "$space" --run-dir "$run_dir" "${resume[@]}" "$@"
