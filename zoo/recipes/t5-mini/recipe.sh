#!/bin/sh
# Trains headstart/t5-mini: spans of English novels, then three tasks at once. NOVELS is the folder of the novels, DATA the one in which sst2, nltk-corpora
# and stsb lie, as the card names them.
set -eu
recipes=$(cd "$(dirname "$0")/../../../recipes/t5-mini" && pwd)
out=${1:-t5-mini}
"$recipes/train.sh" "$NOVELS" "$out-pretrained"
"$recipes/finetune.sh" "$DATA" "$out-pretrained" "$out"
