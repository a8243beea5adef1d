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
    fg-train generator --noise ridges --fingers 2000 --window 512 --masters "$masters" --resolution 512 \
        --style-dim 64 --n-mlp 2 --raw-z --lr-mlp 3 --channel-base 2048 --channel-max 48 --channel-min 8 --image-padding replicate \
        --styled-noise --path-weight 0 --mixing 0 --batch 4 --l1-weight 5 --l1-images 0 --ridge-weight 0.5 --grain-weight 6 \
        --spot-weight 6 --tone-weight 10 --roughness-weight 3 --ema-half-life 1000 --r1-weight 1 --paired-images 1000000 \
        --seed 20 --checkpoint-every 1000 --device cpu --out "$out/generator" "$@"
}
generator --learning-rate 0.003 --images 50000
generator --learning-rate 0.0015 --images 60000
generator --learning-rate 0.0006 --images 66000
generator --learning-rate 0.0002 --images 70000
generator --learning-rate 0.00005 --images 72000

fg-export "$out/generator/state.pt" "$out/fields/state.pt" --name demo --truncation 0.85 --overwrite --out "$out/demo"
