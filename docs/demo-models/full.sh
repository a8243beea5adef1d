#!/usr/bin/env bash
# Grows the small sensor's networks (cpu.sh) into those of the packaged full print and exports them; see
# docs/demo-models.md. Interrupt it at any time: the same command goes on, on another device too.
set -euo pipefail
small=${1:?usage: full.sh SMALL FOLDER [cuda or cpu]}
out=${2:?usage: full.sh SMALL FOLDER [cuda or cpu]}
device=${3:-cuda}
export OMP_NUM_THREADS=1    # a core each for the two trainings
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=1000000000000 MALLOC_TOP_PAD_=268435456
trap wait EXIT              # Ctrl-C reaches both, and both save their states before they end
masters="$out/masters"
fingers=4000
half=() workers=7
if [ "$device" = cpu ]; then half=(--precision bf16) workers=0; fi

generator() {
    fg-train generator --fingers $fingers --window 512 --masters "$masters" --resolution 256 \
        --channel-base 4096 --channel-max 96 --style-dim 128 --n-mlp 4 --path-weight 0 \
        --start-from "$small/generator/state.pt" --checkpoint-every 2000 --device "$device" --workers $workers \
        "${half[@]}" ${half[0]:+--num-fp16-res 7 --compile} --out "$out/generator" "$@"
}

encoder() {
    fg-train encoder --generator "$out/start.pt" --start-from "$small/encoder/state.pt" --fingers $((fingers - 32)) \
        --masters "$masters" --minutiae-net "$small/minutiae" --minutiae-images 12000 --depth ir_se_18 --width 24 \
        --map-size 256 --noise-maps --train-decoder --decoder-rate 1 --sampled 0 --adversarial-weight 1 \
        --flow-weight 2 --l2-weight 1 --checkpoint-every 1000 --device "$device" --workers $workers \
        "${half[@]}" --out "$out/encoder" "$@"
}

mkdir -p "$out"
if [ ! -e "$out/start.pt" ]; then
    generator --batch 8 --learning-rate 0.002 --r1-weight 60 --images 54000
    cp "$out/generator/state.pt" "$out/start.pt"
fi
{
    encoder --batch 8 --learning-rate 0.001 --minutiae-weight 3 --images 2000
    encoder --batch 16 --learning-rate 0.001 --minutiae-weight 3 --images 28032
    encoder --batch 16 --learning-rate 0.0003 --minutiae-weight 10 --ema-half-life 8000 --images 32640
    encoder --batch 8 --learning-rate 0.0001 --minutiae-weight 10 --adversarial-weight 0.1 \
        --best-by held_out/precision --images 40840
} &
generator --batch 8 --learning-rate 0.002 --r1-weight 60 --images 58768
wait $!

fg-export "$out/generator/state.pt" "$out/encoder/best.pt" --name demo --truncation 0.85 --noise random \
    --edit-from 8 --overwrite --out "$out/demo"
python -m fingergen.benchmarks.quality.evaluate "$out/demo" --seeds 1000 --fingers 200 --training-fingers 200 \
    > "$out/figures.json"
python -m fingergen.benchmarks.quality.directions "$out/demo" --grid "$out/directions.png" > "$out/directions.json"
