#!/usr/bin/env bash
# The whole Fashion-MNIST ladder on one GPU: AlexNet's full schedules, its level, the others, an archive of the records.
#   slurm/fashion_ladder_gpu.sh [OVERRIDE...]      as in: slurm/fashion_ladder_gpu.sh data.root=/data/fashion-mnist
# From the environment: OUT (run folders), MINUTES (after which everything stops and is packed), SEEDS, MODELS.
# Start it again to go on: finished runs are skipped, what the time limit stopped goes on from its last checkpoint.
set -euo pipefail

OUT=${OUT:-results/runs_gpu}
MINUTES=${MINUTES:-120}
SEEDS=${SEEDS:-0,1,2}
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
    timeout --signal=TERM --kill-after=60 "$left" $HARNESS train -m +experiment=fashion_ladder_gpu "out=$OUT" "$@"
}

sweep model=alexnet target=none "seed=$SEEDS" "$@"
# a level that was frozen stays frozen when the ladder is started again
[ -e "$OUT/target.yaml" ] || $HARNESS target "$OUT"/*/alexnet --out "$OUT/target.yaml"
sweep "model=$MODELS" "target=$OUT/target.yaml" "seed=$SEEDS" "$@"
$HARNESS aggregate "$OUT" --out "$OUT/tables"
