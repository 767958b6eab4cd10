#!/bin/sh
# t5-mini: T5 of 3 + 3 layers, 192 wide, 4,500 pieces, missing spans in English novels.
# usage: train.sh FOLDER_OF_NOVELS OUTPUT [more options, such as --resume]
# GPU=1 takes 27 times as many tokens, in batches of 256: minutes on a large GPU, half a day on a processor. TOKENIZER=FOLDER: one that is learnt already.
here=$(cd "$(dirname "$0")" && pwd)
data=$1 output=$2
shift 2 || { echo "usage: $0 FOLDER_OF_NOVELS OUTPUT" >&2; exit 2; }
vocabulary='--vocab-size 4500'
[ -z "${TOKENIZER:-}" ] || vocabulary="--tokenizer $TOKENIZER"
length='--batch-size 16 --max-steps 3000 --warmup-steps 200 --eval-steps 250'
[ -z "${GPU:-}" ] || length='--batch-size 256 --max-steps 5000 --warmup-steps 300 --eval-steps 1000'
# shellcheck disable=SC2086
exec "${HEADSTART:-$here/../../headstart}" pretrain --objective span-corruption --data "$data" --output "$output" \
  --config mini $vocabulary --block-size 114 --optimizer adafactor --lr 2e-2 \
  --weight-decay 0 --dropout 0 --precision bf16 --save-dtype bf16 --validation-split 0.02 \
  --eval-tokens 100000 $length "$@"
