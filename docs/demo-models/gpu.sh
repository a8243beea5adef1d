#!/usr/bin/env bash
# Full prints, 256x256 pixels shown as 512x512 at 500 ppi, on one GPU; see docs/demo-models.md.
# Interrupt it at any time: the same command goes on.
set -euo pipefail
out=${1:?usage: gpu.sh FOLDER}
masters="$out/masters"
fingers=20000

fg-train generator --fingers $fingers --window 512 --masters "$masters" --resolution 256 --channel-base 8192 \
    --channel-max 256 --batch 32 --r1-weight 20 --path-weight 0 --images 3000000 \
    --device cuda --out "$out/generator"
fg-train encoder --generator "$out/generator/state.pt" --fingers $((fingers - 32)) --masters "$masters" \
    --depth ir_se_34 --width 32 --map-size 256 --noise-maps --train-decoder --decoder-rate 1 --sampled 0 \
    --batch 32 --adversarial-weight 1 --flow-weight 2 --minutiae-weight 3 --l2-weight 1 --images 1000000 \
    --device cuda --out "$out/encoder"
fg-export "$out/generator/state.pt" "$out/encoder/state.pt" --name full-print --truncation 0.7 \
    --noise random --out "$out/full-print"
python -m fingergen.benchmarks.judge "$out/full-print" --seeds 1000 --fingers 200 --training-fingers 200 \
    > "$out/figures.json"
