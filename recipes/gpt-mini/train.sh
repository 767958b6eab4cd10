#!/bin/sh
# gpt-mini: GPT-2 of 4 layers, 192 wide, 4,096 byte-level tokens, on English novels (8.4 million words).
# usage: train.sh FOLDER_OF_NOVELS OUTPUT [more options, such as --resume]
here=$(cd "$(dirname "$0")" && pwd)
data=$1 output=$2
shift 2 || { echo "usage: $0 FOLDER_OF_NOVELS OUTPUT" >&2; exit 2; }
exec "${HEADSTART:-$here/../../headstart}" pretrain --objective clm --data "$data" --output "$output" \
  --config mini --config-overrides n_embd=192 --vocab-size 4096 --block-size 128 --batch-size 16 --max-steps 4000 --lr 2e-3 --warmup-steps 100 \
  --dropout 0 --precision bf16 --save-dtype bf16 --validation-split 0.02 --eval-steps 200 --eval-tokens 50000 "$@"
