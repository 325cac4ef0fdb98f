#!/usr/bin/env bash
# Validation of the tensorrt_rtx twins on a GPU, in parts; run from the repository.
# usage: bash benchmarks/validation/rtx.sh life|damage|models|layers|explain [pytest arguments]
#   life    engines of two models from build to batch profile, against bare calls and events by hand
#   damage  whole runs of resnet18: cold, warm, cut engine, foreign kernels, replay, --build-twice, TF32 switched off
#   models  the zoo, or what the arguments name, with every check; resnet50 in tf32 races on compute capability 9.0
#   layers  time of each layer of three models, against the GPU time of a call; also what the engine inspector says
#   explain the module in which resnet50 errs, in each precision
# Run them in this order: damage starts from an empty cache. Figures go to the terminal, runs as JSON to $OUT (default:
# here) under $NAME. Engines stay in $ENGINES between the parts. No part takes more than nine minutes: a run that would
# is interrupted after $LIMIT_S seconds, and writes what it has.
set -uo pipefail
part=${1:?usage: rtx.sh life|damage|models|layers|explain [pytest arguments]}; shift
out=${OUT:-.}; engines=${ENGINES:-/tmp/rtx-engines}; mkdir -p "$engines"; chmod go-w "$engines"
twins=tensorrt_rtx_tf32,tensorrt_rtx_fp16
python=${PYTHON:-python3}

# suite NAME ARGUMENTS: a run whose JSON is $OUT/rtx-NAME.json; prints its tables, failures and warnings.
suite() {
    local name=$1; shift
    echo "== $name: pytest benchmarks $*"
    timeout -s INT "${LIMIT_S:-500}" "$python" -m pytest benchmarks -q --weights calibrated --engine-dir "$engines" \
        --benchmark-json "$out/rtx-$name.json" -p no:cacheprovider "$@" > "$out/rtx-$name.txt" 2>&1
    echo "exit code $?"
    grep -aE "is refused and|refused|passed|failed|^ (resnet|alexnet|vgg|mobile|goog|incep|ssd|lraspp)|PASS|FAIL" \
        "$out/rtx-$name.txt" | cut -c1-240 | tail -n "${LINES_SHOWN:-40}"
}

case $part in
life)
    timeout 500 "$python" -m benchmarks.validation.tensorrt_life resnet18 mobilenet_v2 | tee "$out/rtx-life.txt"
    ;;
damage)
    some=(--models resnet18 --twins "$twins" -k "startup or agreement or latency" --benchmark-max-time 0.3)
    LIMIT_S=${LIMIT_S:-85}
    suite cold "${some[@]}"
    suite warm "${some[@]}"
    "$python" - "$engines" <<'PYTHON'
import hashlib, json, pathlib, sys
for twin, file, content in (("tf32", "artefact.engine", None), ("fp16", "artefact.kernels", b"kernels of another driver")):
    (entry,) = pathlib.Path(sys.argv[1]).glob(f"resnet18-tensorrt_rtx_{twin}-b1-*")
    path = entry / file
    if content is None:  # half-written
        path.write_bytes(path.read_bytes()[:1000])
        continue
    path.write_bytes(content)  # whole by its checksum, but not for this machine
    facts = json.loads((entry / "entry.json").read_text())
    facts["files"][file] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (entry / "entry.json").write_text(json.dumps(facts))
PYTHON
    suite damaged "${some[@]}"
    suite replay "${some[@]}" --tensorrt-replay --batch-sizes 1,8
    suite twice "${some[@]}" --build-twice
    NVIDIA_TF32_OVERRIDE=0 suite tf32-off --models resnet18 --twins tensorrt_rtx_tf32 -k "startup or agreement" \
        --benchmark-max-time 0.3
    ;;
models)
    LINES_SHOWN=120 suite "${NAME:-models}" --twins "$twins" --benchmark-max-time 0.3 "$@"
    ;;
layers)
    LINES_SHOWN=12 suite layers --models resnet18,resnet50,mobilenet_v2 --twins "$twins" --benchmark-max-time 0.3 \
        --layers -k "latency or layers" "$@"
    sed -n '/= layers, slowest first =/,/= verdict =/p' "$out/rtx-layers.txt" | cut -c1-160
    "$python" -m benchmarks.validation.layers report "$out/rtx-layers.json"
    for twin in ${twins//,/ }; do
        timeout 200 "$python" -m benchmarks.validation.layers inspect "$twin" "$out/rtx-inspected" resnet18 2>&1 | tail -3
    done
    ;;
explain)
    LINES_SHOWN=8 suite explain --models resnet50 --twins "$twins" --explain -k "agreement or explain" "$@"
    sed -n '/= where /,/= verdict/p' "$out/rtx-explain.txt"
    ;;
*) echo "unknown part $part: life, damage, models, layers or explain"; exit 2 ;;
esac
