#!/usr/bin/env bash
# Converts a MINDIR of `mindcv export` for MindSpore Lite on Ascend 310, one file for each batch size.
#
#   scripts/lite_convert.sh model.mindir 1 8 16
#
# NOT MEASURED HERE: no Ascend device was available to this project. The options are those of MindSpore Lite's
# documentation (cloud-side converter, r2.10.0: https://www.mindspore.cn/lite/cloud_docs/en/r2.10.0/mindir/converter_tool.html).
#
# It needs MindSpore Lite for cloud-side inference (LITE_HOME: its unpacked folder, or converter_lite on PATH), CANN's
# environment (source .../set_env.sh), and model.mindir.json beside the file. Set LITE_OPTIMIZE for another device than the
# default `ascend_oriented`, which means the one of this host. DRY_RUN=1 prints the commands and runs nothing.
set -euo pipefail

fail() { printf 'lite_convert.sh: %s\n' "$*" >&2; exit 2; }

[[ $# -ge 1 ]] || fail "usage: lite_convert.sh MODEL.mindir [BATCH_SIZE ...]"
model=$1
shift
[[ $model == *.mindir && -f $model ]] || fail "$model: is no .mindir file; make one with: mindcv export ... --format mindir"
info=$model.json
[[ -f $info ]] || fail "$info is missing; mindcv export writes it beside the file"

# name, batch size (0: any), channels, height, width, encryption
read -r name exported channels height width encryption < <(python3 - "$info" <<'PYTHON'
import json, sys

info = json.load(open(sys.argv[1], encoding="utf-8"))
batch, channels, height, width = info["input_shape"]
print(info["input_name"], batch or 0, channels, height, width, info["encryption"] or "none")
PYTHON
)
[[ $encryption == none ]] || fail "$model is encrypted ($encryption); export it without a key for the converter"
if [[ $# -eq 0 ]]; then
  set -- "$((exported > 0 ? exported : 1))"
fi
for batch in "$@"; do
  [[ $batch =~ ^[1-9][0-9]*$ ]] || fail "got batch size '$batch'; give numbers from 1"
  [[ $exported -eq 0 || $batch -eq $exported ]] ||
    fail "$model takes batches of $exported, not $batch; export it with --batch_size $batch, or dynamic"
done

converter=converter_lite
if [[ -n ${LITE_HOME:-} ]]; then
  converter=$LITE_HOME/tools/converter/converter/converter_lite
  export LD_LIBRARY_PATH=$LITE_HOME/tools/converter/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
if [[ ${DRY_RUN:-0} == 0 ]]; then
  command -v "$converter" >/dev/null ||
    fail "there is no converter_lite; download MindSpore Lite (cloud side) and set LITE_HOME to its folder"
fi

for batch in "$@"; do
  output=${model%.mindir}_lite_b$batch
  command=(
    "$converter" --fmk=MINDIR "--modelFile=$model" "--outputFile=$output"
    "--inputShape=$name:$batch,$channels,$height,$width"
    "--optimize=${LITE_OPTIMIZE:-ascend_oriented}" --saveType=MINDIR
  )
  printf '%q ' "${command[@]}"
  printf '\n'
  if [[ ${DRY_RUN:-0} == 0 ]]; then
    "${command[@]}"
  fi
done
