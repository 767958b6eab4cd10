#!/bin/sh
# Letters of Shakespeare, in nanoGPT's setting for a CPU: 4 layers, 4 heads, 128 wide, 64 letters, batch 12, 2,000 steps.
# usage: train.sh INPUT_TXT OUTPUT [more options, such as --resume]
here=$(cd "$(dirname "$0")" && pwd)
data=$1 output=$2
shift 2 || { echo "usage: $0 INPUT_TXT OUTPUT" >&2; exit 2; }
exec "${HEADSTART:-$here/../../headstart}" pretrain --objective clm --tokenizer char --data "$data" --output "$output" \
  --config mini --config-overrides n_layer=4,n_head=4,n_embd=128,n_positions=64 --block-size 64 --batch-size 12 \
  --max-steps 2000 --lr 3e-3 --warmup-steps 100 --dropout 0 --validation-split 0.1 --eval-steps 250 --eval-tokens 120000 \
  --seed 1337 "$@"
