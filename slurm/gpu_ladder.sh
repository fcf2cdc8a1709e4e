#!/usr/bin/env bash
# A whole ladder on the GPUs of one machine: AlexNet's calibration runs, its level, the costs, an archive of the records.
#   slurm/gpu_ladder.sh [OVERRIDE...]      as in: slurm/gpu_ladder.sh data.root=/data/tiny-imagenet-200
# From the environment: OUT (run folders), MINUTES (after which everything stops and is packed), CALIBRATION and SEEDS
# (of the runs that set the level, and of those that give costs), MODELS, PARALLEL (runs at once; small images leave room
# for a dozen on one GPU), EXPERIMENT.
# Start it again to go on: finished runs are skipped, what the time limit stopped goes on from its last checkpoint.
set -euo pipefail

OUT=${OUT:-results/runs_gpu}
MINUTES=${MINUTES:-120}
CALIBRATION=${CALIBRATION:-0,1,2,3,4,5,6,7,8}
SEEDS=${SEEDS:-10,11,12,13,14}
PARALLEL=${PARALLEL:-auto}
EXPERIMENT=${EXPERIMENT:-tiny_imagenet_gpu}
# the cheapest first, so that a time limit costs the fewest runs
MODELS=${MODELS:-squeezenet1_1,mobilenet_v1,resnet18,shufflenet_v2_x1_0,mobilenet_v2,vgg11,shufflenet_v1_x1_0,shufflenet_v2_x1_5,resnet34,googlenet,resnet50,resnext50_32x4d,efficientnet_b0,wide_resnet50_2,densenet121}
HARNESS=${HARNESS:-python -m harness}

# Finished records only: a folder without run.json is somebody's unfinished run.
pack() {
    [ -d "$OUT" ] || return 0
    (cd "$OUT" && find . -name run.json -printf '%h\n' | sort |
        sed 's|.*|&/config.yaml\n&/provenance.json\n&/curve.jsonl\n&/run.json|' > .records &&
        tar --create --gzip --file records.tar.gz --files-from .records && rm .records)
    echo "packed: $OUT/records.tar.gz, $(tar --list --file "$OUT/records.tar.gz" | grep -c 'run.json$' || true) runs"
}
trap pack EXIT

sweep() {
    left=$((MINUTES * 60 - SECONDS))
    [ "$left" -gt 0 ] || { echo "no time left; start again to go on" >&2; exit 75; }
    # SIGTERM lets a run write its checkpoint; $HARNESS is a command with its words
    timeout --signal=TERM --kill-after=60 "$left" $HARNESS train -m "+experiment=$EXPERIMENT" "out=$OUT" \
        "hydra.launcher.parallel=$PARALLEL" "$@"
}

sweep model=alexnet recipe.epochs=16 calibration=true target=none "seed=$CALIBRATION" "$@"
# a level that was frozen stays frozen when the ladder is started again
[ -e "$OUT/target.yaml" ] || $HARNESS target "$OUT"/*/alexnet --out "$OUT/target.yaml"
level=("target=$OUT/target.yaml" target.past_evaluations=4 "seed=$SEEDS")
sweep model=alexnet recipe.epochs=16 "${level[@]}" "$@"
sweep "model=$MODELS" "${level[@]}" "$@"
$HARNESS aggregate "$OUT" --out "$OUT/tables"
