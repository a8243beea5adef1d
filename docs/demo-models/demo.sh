#!/usr/bin/env bash
# Trains and exports the demo bundle on one CPU core; see docs/demo-models.md.
# Interrupt it at any time: the same command goes on.
set -euo pipefail
out=${1:?usage: demo.sh FOLDER}
export OMP_NUM_THREADS=1
masters="$out/masters"

fg-train encoder --fingers 2000 --masters "$masters" --batch 16 --learning-rate 0.002 --images 22500 \
    --checkpoint-every 4000 --device cpu --out "$out/fields"

generator() {
    fg-train generator --noise ridges --fingers 2000 --window 512 --masters "$masters" --resolution 256 \
        --style-dim 64 --n-mlp 1 --channel-base 4096 --channel-max 48 --path-weight 0 --mixing 0 --batch 4 \
        --l1-weight 5 --l1-images 0 --paired-images 21000 --checkpoint-every 500 --device cpu \
        --out "$out/generator" "$@"
}
generator --ridge-weight 0.5 --learning-rate 0.003 --images 18000
generator --ridge-weight 1 --learning-rate 0.0015 --images 21000

fg-export "$out/generator/state.pt" "$out/fields/state.pt" --name demo --truncation 0.85 --overwrite --out "$out/demo"
