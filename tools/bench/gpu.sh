#!/usr/bin/env bash
# Everything that is worth knowing about a GPU, in one call of less than ten minutes: the training step against
# the compiled PyTorch twin, the recurrence, Eq. 2, and seconds a frame of the exported networks.
#
#   tools/bench/gpu.sh [FOLDER]     each part's log, and table.txt, in FOLDER (out/gpu)
#   SMALL=1 tools/bench/gpu.sh      the same parts at sizes for a CPU, to see that they run; no figure of it counts
#   SLACK=6 tools/bench/gpu.sh      limits of time that are six times as long, where other work has the processors
#
# Each part has its own limit of time, and what it printed until then is kept: a slow part costs only itself.
# PYTHON is .venv/bin/python, or that of an environment with the extra `test`, jax for CUDA and onnxruntime-gpu.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=$PWD XLA_PYTHON_CLIENT_PREALLOCATE=false # so that memory in use is what is needed
python=${PYTHON:-.venv/bin/python} out=${1:-out/gpu}
mkdir -p "$out"
: >"$out/table.txt"

used() { nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null | sort -n | tail -1; }

watch_memory() { # the most that was in use, MB, in FILE
    local most=0 now
    while now=$(used) && [ -n "$now" ]; do
        [ "$now" -gt "$most" ] && most=$now && echo "$most" >"$1"
        sleep 0.5
    done
}

part() { # NAME LIMIT_S COMMAND...: a line of the table, and the end of the part's log
    local name=$1 limit=$(($2 * ${SLACK:-1})) watcher code begin=$SECONDS
    shift 2
    rm -f "$out/$name.mb"
    watch_memory "$out/$name.mb" &
    watcher=$!
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1
    code=$?
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    case $code in 0) code=done ;; 124 | 137) code="cut off at $limit s" ;; *) code="failed ($code)" ;; esac
    {
        printf '\n== %s: %s, %d s, ' "$name" "$code" $((SECONDS - begin))
        printf 'peak %s MB of GPU memory\n' "$(cat "$out/$name.mb" 2>/dev/null || echo '-')"
        tail -n 12 "$out/$name.log"
    } >>"$out/table.txt"
}

bench() { # NAME LIMIT_S SCRIPT ARGUMENTS...
    local name=$1 limit=$2 script=$3
    shift 3
    part "$name" "$limit" "$python" -u "tools/bench/$script.py" "$@"
}

if [ -n "${SMALL:-}" ]; then
    bench step 150 train_step --batch 2 --against eager --runs 1 --frames 30 # compiling takes minutes on a CPU
    bench eq2 60 contrastive --stamps 720 --runs 1
    bench recurrence 60 gru --batch 2 --frames 30 --runs 1
    bench networks 60 stages "tddfa (mb05)" --rounds 1
    bench drawing 90 portrait_stages pirenderer --rounds 1
else
    bench step 300 train_step --batch 256 64 1024 --against compile --dtype bfloat16 --steps 10 --runs 5 \
        --peak-tflops "${PEAK_TFLOPS:-989}"
    bench eq2 40 contrastive --stamps 23040 92160 --chunk 4096 --runs 5
    bench recurrence 60 gru_gpu --batch 64 256 1024
    # ONNX on the GPU; PyTorch beside it stays on the CPU, so only seconds a frame are of use here.
    bench networks 60 stages --rounds 3 --threads "$(nproc)"
    bench drawing 110 portrait_stages pirenderer liveportrait-warping rvrt-deblur --rounds 1 --threads "$(nproc)"
fi
cat "$out/table.txt"
! grep -q '^== .*failed' "$out/table.txt"
