#!/bin/sh
# bert-mini: BERT of 4 layers, 256 wide, 6,000 word pieces: masked words on English novels and Wikipedia articles.
# Two of every five tokens are masked, and the first layer's heads begin on the neighbours (--init local): with 15 % and random heads, 8 million tokens
# leave it at single words' frequencies.
# usage: train.sh FOLDER_OF_NOVELS,FOLDER_OF_ARTICLES OUTPUT [more options, such as --resume]
here=$(cd "$(dirname "$0")" && pwd)
data=$1 output=$2
shift 2 || { echo "usage: $0 FOLDER,FOLDER OUTPUT" >&2; exit 2; }
exec "${HEADSTART:-$here/../../headstart}" pretrain --objective mlm --init local --mlm-probability 0.4 --data "$data" --output "$output" \
  --config mini --vocab-size 6000 --block-size 128 --batch-size 16 --max-steps 8000 --lr 1e-3 --warmup-steps 200 \
  --dropout 0 --precision bf16 --save-dtype bf16 --validation-split 0.02 --eval-steps 500 --eval-tokens 100000 "$@"
