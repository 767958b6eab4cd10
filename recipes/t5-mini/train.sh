#!/bin/sh
# t5-mini: T5 of 3 + 3 layers, 192 wide, 4,500 pieces, missing spans in English novels.
# usage: train.sh FOLDER_OF_NOVELS OUTPUT [more options, such as --resume]
here=$(cd "$(dirname "$0")" && pwd)
data=$1 output=$2
shift 2 || { echo "usage: $0 FOLDER_OF_NOVELS OUTPUT" >&2; exit 2; }
exec "${HEADSTART:-$here/../../headstart}" pretrain --objective span-corruption --data "$data" --output "$output" \
  --config mini --vocab-size 4500 --block-size 114 --batch-size 16 --max-steps 3000 --optimizer adafactor --lr 2e-2 \
  --weight-decay 0 --warmup-steps 200 --dropout 0 --precision bf16 --save-dtype bf16 --validation-split 0.02 --eval-steps 250 \
  --eval-tokens 100000 "$@"
