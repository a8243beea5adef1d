#!/usr/bin/env bash
# Trains and exports the bundle of a small sensor on two CPU cores; see docs/demo-models.md.
# Interrupt it at any time: the same command goes on.
set -euo pipefail
out=${1:?usage: cpu.sh FOLDER}
export OMP_NUM_THREADS=1    # a core each for the two trainings
trap wait EXIT              # Ctrl-C reaches both, and both save their states before they end
masters="$out/masters"
fingers=4000

generator() {
    fg-train generator --fingers $fingers --window 256 --masters "$masters" --resolution 128 \
        --channel-base 2048 --channel-max 96 --style-dim 128 --n-mlp 4 --path-weight 0 --batch 8 \
        --checkpoint-every 1000 --device cpu --out "$out/generator" "$@"
}

encoder() {
    fg-train encoder --generator "$out/start.pt" --fingers $((fingers - 32)) --masters "$masters" \
        --minutiae-net "$out/minutiae" --minutiae-images 12000 --depth ir_se_18 --width 24 --map-size 128 \
        --noise-maps --train-decoder --decoder-rate 1 --sampled 0 --batch 8 --adversarial-weight 1 \
        --flow-weight 2 --minutiae-weight 3 --l2-weight 1 --checkpoint-every 1000 --device cpu \
        --out "$out/encoder" "$@"
}

mkdir -p "$out"
if [ ! -e "$out/start.pt" ]; then
    generator --learning-rate 0.0025 --r1-weight 50 --images 11000
    cp "$out/generator/state.pt" "$out/start.pt"
fi
{
    encoder --learning-rate 0.001 --images 12648
    encoder --learning-rate 0.0004 --images 17568
} &
generator --learning-rate 0.0025 --r1-weight 50 --images 27640
generator --learning-rate 0.002 --r1-weight 20 --images 40000
generator --learning-rate 0.001 --r1-weight 20 --images 56000
wait $!

fg-export "$out/generator/state.pt" "$out/encoder/state.pt" --name small-sensor --truncation 0.7 --noise random \
    --edit-from 6 --overwrite --out "$out/demo"
python -m fingergen.benchmarks.quality.evaluate "$out/demo" --seeds 1000 --fingers 200 --training-fingers 200 \
    > "$out/figures.json"
python -m fingergen.benchmarks.quality.directions "$out/demo" --grid "$out/directions.png" > "$out/directions.json"
