#!/bin/sh
# Letters of Shakespeare for an hour on a CPU: 5 layers, 4 heads, 256 wide, 256 letters, batch 16, 2,900 steps (nanoGPT's setting for a GPU is 6 layers, 384 wide, batch 64, 5,000 steps).
# usage: long.sh INPUT_TXT OUTPUT [more options, such as --resume]
here=$(cd "$(dirname "$0")" && pwd)
data=$1 output=$2
shift 2 || { echo "usage: $0 INPUT_TXT OUTPUT" >&2; exit 2; }
exec "${HEADSTART:-$here/../../headstart}" pretrain --objective clm --tokenizer char --data "$data" --output "$output" \
  --config mini --config-overrides n_layer=5,n_head=4,n_embd=256,n_positions=256 --block-size 256 --batch-size 16 \
  --max-steps 2900 --lr 1.5e-3 --warmup-steps 100 --dropout 0.1 --precision bf16 --validation-split 0.1 --eval-steps 290 --eval-tokens 120000 \
  --seed 1337 "$@"
