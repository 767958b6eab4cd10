#!/bin/sh
# gpt-mini: GPT-2 of 4 layers, 192 wide, 4,096 byte-level tokens, on English novels (8.4 million words).
# usage: train.sh FOLDER_OF_NOVELS OUTPUT [more options, such as --resume]
# GPU=1 takes 24 times as many tokens, in batches of 256: minutes on a large GPU, a day on a processor. TOKENIZER=FOLDER: one that is learnt already.
here=$(cd "$(dirname "$0")" && pwd)
data=$1 output=$2
shift 2 || { echo "usage: $0 FOLDER_OF_NOVELS OUTPUT" >&2; exit 2; }
vocabulary='--vocab-size 4096'
[ -z "${TOKENIZER:-}" ] || vocabulary="--tokenizer $TOKENIZER"
length='--batch-size 16 --max-steps 4000 --warmup-steps 100 --eval-steps 200'
[ -z "${GPU:-}" ] || length='--batch-size 256 --max-steps 6000 --warmup-steps 300 --eval-steps 1000'
# shellcheck disable=SC2086
exec "${HEADSTART:-$here/../../headstart}" pretrain --objective clm --data "$data" --output "$output" \
  --config mini --config-overrides n_embd=192 $vocabulary --block-size 128 --lr 2e-3 \
  --dropout 0 --precision bf16 --save-dtype bf16 --validation-split 0.02 --eval-tokens 50000 $length "$@"
